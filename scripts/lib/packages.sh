# shellcheck shell=bash
# Debian's packages: installed where that is allowed, quietly, and without anything being started by it.
# Sourced after common.sh.

has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v postgres >/dev/null; }
has_redis() { command -v redis-server >/dev/null || command -v valkey-server >/dev/null; }

# require_servers [postgres] [redis]: installs what is missing when it may, else says which package it is.
require_servers() {
    local wanted packages=()
    remove_install_leftovers
    for wanted; do
        [[ $wanted != postgres ]] || has_postgres || packages+=(postgresql)
        [[ $wanted != redis ]] || has_redis || packages+=(redis-server)
    done
    ((${#packages[@]})) || return 0
    command -v apt-get >/dev/null ||
        die 69 "missing: ${packages[*]}. Install PostgreSQL 14 or newer and Redis 6.2 or newer, or set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL."
    require_packages "${packages[@]}"
}

# require_packages PACKAGE...: installs them, which root alone may.
require_packages() {
    local result=0
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        die 69 "missing: $*. Run: sudo apt-get install $*"
    fi
    say "installing $* (apt-get)" >&2
    install_quietly "$@" || result=$?
    # By a signal, which was meant for us too.
    ((result <= 128)) || exit "$result"
    ((result == 0)) || die 69 "apt-get could not install $*. Install it by hand and start again."
}

# Debian would create a cluster and start both servers at once; while these files exist it does not.
policy_file=/usr/sbin/policy-rc.d
no_cluster_file=/etc/postgresql-common/createcluster.d/arena.conf
install_mark='# written by run_system.sh while it installs packages; safe to delete'

# Removes what an install of ours put there, be it this one or one that was killed.
allow_starting() {
    local file
    for file in "$policy_file" "$no_cluster_file"; do
        [[ -f $file ]] && grep -qsxF -- "$install_mark" "$file" && rm -f "$file"
    done
    rmdir "${no_cluster_file%/*}" 2>/dev/null && rmdir "${no_cluster_file%/*/*}" 2>/dev/null
    return 0
}

# The leftover of a killed install would prevent Debian from starting any service. An install that still runs
# holds the lock.
remove_install_leftovers() (
    ((EUID == 0)) && [[ -e $policy_file || -e $no_cluster_file ]] || exit 0
    exec 8<"${policy_file%/*}" && flock -n 8 && allow_starting
)

# Installs without starting anything; a subshell, whose traps clean up however it ends. A signal
# never ends apt-get half-way: unless it was sent to apt-get too, it is heard afterwards.
install_quietly() (
    output='' apt=(apt-get -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold -qq)
    exec 8<"${policy_file%/*}" && flock 8 || exit 1
    trap 'trap "" HUP INT TERM; allow_starting; rm -f "$output"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    output=$(mktemp) || exit 1
    # One that is not ours stays as it is.
    if [[ ! -e $policy_file ]] || grep -qsxF -- "$install_mark" "$policy_file"; then
        printf '#!/bin/sh\n%s\nexit 101\n' "$install_mark" >"$policy_file" && chmod 755 "$policy_file"
    fi
    mkdir -p "${no_cluster_file%/*}" &&
        printf '%s\ncreate_main_cluster = false\n' "$install_mark" >"$no_cluster_file"
    export DEBIAN_FRONTEND=noninteractive
    {
        # A fresh image has no package lists yet.
        "${apt[@]}" install -y --no-install-recommends "$@" ||
            { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"; }
    } </dev/null >"$output" 2>&1 8>&- 9>&- && exit 0
    tail -n 20 "$output" >&2
    exit 1
)
