# shellcheck shell=bash
# A private Postgres and a private Redis: install, create, start, ask, stop. Both listen on
# 127.0.0.1 alone and want a password. Sourced after common.sh; never touches a server that it did
# not start.
# shellcheck disable=SC2154 # url_* come from split_url

# Words before a server's own that tie its life to ours; none unless the sourcing script says so.
with_parent=()

# Never named in a `.env`: the way back in when a role's password is lost. Its password is in
# DIR/superuser, readable by its owner and root.
superuser=postgres

# --- programs -------------------------------------------------------------------------------

# Leaves the newest Postgres' directory in postgres_bin and the Redis program in redis_server.
find_programs() {
    local dir
    postgres_bin=
    while IFS= read -r dir; do
        [[ -x $dir/postgres && -x $dir/initdb && -x $dir/psql ]] && postgres_bin=$dir
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V)
    if [[ -z $postgres_bin ]] && dir=$(command -v postgres); then
        dir=$(readlink -f "$dir")
        [[ -x ${dir%/*}/initdb && -x ${dir%/*}/psql ]] && postgres_bin=${dir%/*}
    fi
    redis_server=$(command -v redis-server || command -v valkey-server || :)
}

# require_programs [postgres] [redis]: installs Debian's packages when it may, else says which.
require_programs() {
    local wanted packages=()
    remove_install_leftovers
    find_programs
    for wanted; do
        [[ $wanted == postgres && -z $postgres_bin ]] && packages+=(postgresql)
        [[ $wanted == redis && -z $redis_server ]] && packages+=(redis-server)
    done
    ((${#packages[@]})) || return 0
    if ! command -v apt-get >/dev/null; then
        die 69 "missing: ${packages[*]}. Install PostgreSQL 14 or newer and Redis 6.2 or newer, or set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL."
    elif ((EUID != 0)); then
        die 69 "missing: ${packages[*]}. Run: sudo apt-get install ${packages[*]}"
    fi
    install_packages "${packages[@]}"
    find_programs
    for wanted; do
        [[ $wanted == postgres && -z $postgres_bin || $wanted == redis && -z $redis_server ]] &&
            die 69 "installed ${packages[*]}, but cannot find the programs of $wanted."
    done
    return 0
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

# What a killed install left behind would keep Debian from starting any service ever again. An
# install that still runs holds the lock.
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
        # A fresh image knows no packages yet.
        "${apt[@]}" install -y --no-install-recommends "$@" ||
            { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"; }
    } </dev/null >"$output" 2>&1 8>&- && exit 0
    tail -n 20 "$output" >&2
    exit 1
)

install_packages() {
    local result=0
    say "installing $* (apt-get)" >&2
    install_quietly "$@" || result=$?
    # By a signal, which was meant for us too.
    ((result <= 128)) || exit "$result"
    ((result == 0)) || die 69 "apt-get could not install $*. Install it by hand and start again."
}

# --- who runs them --------------------------------------------------------------------------

# adopt_directory DIR: creates DIR and leaves in as_server the words that run a command as the
# user who owns it. Postgres refuses to run as root, and Redis has no need to.
adopt_directory() {
    local user
    as_server=()
    { mkdir -p "$1" && chmod 700 "$1"; } || die 1 "cannot create $1."
    ((EUID == 0)) || return 0
    user=$(stat -c %U "$1")
    if [[ $user == root || $user == UNKNOWN ]]; then
        user=postgres
        if ! id -u "$user" >/dev/null 2>&1; then
            user=ledgerdome
            id -u "$user" >/dev/null 2>&1 ||
                useradd --system --no-create-home --shell /usr/sbin/nologin "$user" || user=nobody
        fi
        chown -R "$user:" "$1"
    fi
    as_server=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups --)
}

# Whether the unprivileged user can get to what lies in DIR.
others_may_enter() {
    ((EUID != 0)) || setpriv --reuid=65534 --regid=65534 --clear-groups -- test -x "$1"
}

# temporary_directory NAME: a new one that servers can use, in REPLY.
temporary_directory() {
    local parent=${TMPDIR:-/tmp}
    others_may_enter "$parent" || parent=/tmp
    { REPLY=$(mktemp -d "$parent/$1.XXXXXXXX") && chmod 711 "$REPLY"; } || die 1 "cannot create a directory in $parent."
}

# reachable_directory DIR: DIR in REPLY, or, when it lies where the unprivileged user cannot go
# (root's home), a place outside to which DIR becomes a link.
reachable_directory() {
    local outside
    REPLY=$1
    mkdir -p "${1%/*}" || die 1 "cannot create ${1%/*}."
    if [[ -L $1 ]]; then
        REPLY=$(readlink "$1")
        mkdir -p "$REPLY"
        return 0
    fi
    others_may_enter "${1%/*}" && return 0
    outside=/var/lib/ledgerdome/$(printf '%s' "$1" | cksum | cut -d ' ' -f 1)-${1##*/}
    { mkdir -p "$outside" && ln -s "$outside" "$1"; } || die 1 "cannot create $outside."
    say "${1%/*} is closed to other users: ${1##*/} keeps its files in $outside"
    REPLY=$outside
}

# --- Postgres -------------------------------------------------------------------------------

# Of the memory that this machine, or this container, may use.
shared_buffers_mb() {
    local kib limit
    kib=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo 2>/dev/null)
    { limit=$(</sys/fs/cgroup/memory.max); } 2>/dev/null
    [[ ${limit:-max} =~ ^[0-9]+$ ]] && ((limit / 1024 < ${kib:-0})) && kib=$((limit / 1024))
    REPLY=256
    [[ -n $kib ]] && REPLY=$((kib / 1024 / 8))
    ((REPLY < 64)) && REPLY=64
    ((REPLY > 1024)) && REPLY=1024
    return 0
}

# match_postgres DIR: a cluster stays with the version that made it, since no other can read it.
match_postgres() {
    local version installed
    { version=$(<"$1/cluster/PG_VERSION"); } 2>/dev/null || return 0
    if [[ -x /usr/lib/postgresql/$version/bin/postgres ]]; then
        postgres_bin=/usr/lib/postgresql/$version/bin
        return 0
    fi
    installed=$("$postgres_bin/postgres" --version)
    [[ ! $installed =~ \ ([0-9]+) || ${BASH_REMATCH[1]} != "$version" ]] || return 0
    die 69 "the cluster in $1 was made by PostgreSQL $version, which is not installed any more (there is ${BASH_REMATCH[1]-none}). Run: sudo apt-get install postgresql-$version. To go over to another version, back up with the old one and restore with the new one (docs/operators.md)."
}

# upgraded NAME PID: whether the programs of a server that runs were replaced on disk, as an upgrade of its
# packages does. What to do about it is in REPLY.
upgraded() {
    local program
    # Not ours to see where another user runs it.
    program=$(readlink "/proc/$2/exe" 2>/dev/null) && [[ $program == *' (deleted)' ]] || return 1
    program=${program% (deleted)}
    REPLY="$1 (pid $2) was upgraded on disk while it runs and goes on with the old programs. When a pause of some seconds suits: ./run_system.sh stop, then start it again."
    [[ -e $program ]] ||
        REPLY="$1 (pid $2) runs from $program, which is not installed any more: it goes on, and could not be started again. Install that version's package, then: ./run_system.sh stop, and start it again."
}

# create_postgres DIR: an empty cluster in DIR/cluster, unless there is one.
create_postgres() {
    local dir=$1 output
    adopt_directory "$dir"
    if [[ -f $dir/cluster/PG_VERSION ]]; then
        [[ -s $dir/superuser ]] || die 69 "$dir has a cluster, but $dir/superuser with its superuser's password is gone: docs/operators.md says how to get back in."
        match_postgres "$dir"
        return 0
    fi
    random_hex 24
    (umask 077 && say "$REPLY" >"$dir/superuser")
    # Created aside, so that an interrupted initdb is never taken for a cluster.
    rm -rf "$dir/cluster.new"
    ((${#as_server[@]} == 0)) || chown --reference="$dir" "$dir/superuser"
    output=$(cd "$dir" && "${as_server[@]}" "$postgres_bin/initdb" --no-sync -D "$dir/cluster.new" \
        -U "$superuser" --pwfile="$dir/superuser" --auth=scram-sha-256 --encoding=UTF8 \
        --locale=C.UTF-8 2>&1) || {
        # Its last line tells of its tidying up.
        REPLY=$(grep -E 'error:|FATAL:|PANIC:' <<<"$output" | tail -n 1)
        die 69 "initdb failed: ${REPLY:-${output##*$'\n'}}"
    }
    mv "$dir/cluster.new" "$dir/cluster" && sync -f "$dir/cluster"
}

# After a crash of the whole machine the pid in Postgres' lock file may be somebody else's by now,
# which would keep Postgres from starting.
drop_stale_lock() {
    local pid name=
    { read -r pid <"$1" && name=$(</proc/"$pid"/comm); } 2>/dev/null
    [[ $name == postgres* ]] || rm -f "$1"
}

# start_postgres DIR PORT LOG [-c NAME=VALUE]...: the pid in REPLY. Without a Unix socket: whoever
# wants in goes through TCP and its password.
start_postgres() {
    local dir=$1 port=$2 log=$3
    shift 3
    drop_stale_lock "$dir/cluster/postmaster.pid"
    shared_buffers_mb
    spawn "$log" "${as_server[@]}" "${with_parent[@]}" "$postgres_bin/postgres" -D "$dir/cluster" \
        -c listen_addresses=127.0.0.1 -c "port=$port" -c unix_socket_directories= \
        -c "shared_buffers=${REPLY}MB" -c max_connections=200 -c max_wal_size=2GB -c jit=off \
        -c logging_collector=off -c log_destination=stderr "$@"
}

# superuser_psql DIR PORT [PSQL OPTIONS]: SQL from standard input.
superuser_psql() {
    local dir=$1 port=$2
    shift 2
    PGPASSWORD=$(<"$dir/superuser") PGCONNECT_TIMEOUT=3 PGAPPNAME=run_system "$postgres_bin/psql" \
        -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U "$superuser" -d postgres "$@"
}

# wait_for_postgres PID DIR PORT SECONDS: until it answers SELECT 1. On failure the reason is in REPLY. Exit
# codes alone decide: what is said on standard error may be a warning, and in any language.
wait_for_postgres() {
    local ticks=$(($4 * 20)) said=
    while ((ticks-- > 0)); do
        alive "$1" || { REPLY="it ended at once"; return 1; }
        # It succeeds once connections are taken: a refusal after that is there to stay.
        if "$postgres_bin/pg_isready" -q -h 127.0.0.1 -p "$3" -t 3 2>/dev/null; then
            said=$(superuser_psql "$2" "$3" <<<'SELECT 1' 2>&1 >/dev/null) && return 0
            break
        fi
        pause 0.05
    done
    psql_reason "$said"
    return 1
}

# The part of psql's complaint that says what is wrong, on one line: what follows the last "failed:", else
# the first line that it or the server calls an error, else the last line.
psql_reason() {
    REPLY=${1##*failed: }
    [[ $REPLY != "$1" || $1 != *'error: '* ]] || REPLY=${1#*error: }
    [[ $REPLY != "$1" || $1 != *'ERROR:  '* ]] || REPLY=${1#*ERROR:  }
    [[ $REPLY != "$1" ]] || REPLY=${1##*$'\n'}
    REPLY=${REPLY%%$'\n'*}
    REPLY=${REPLY:-no answer to SELECT 1}
}

# knows_system_roots PSQL: whether its libpq knows sslrootcert=system, as 16 and newer do.
knows_system_roots() {
    [[ $("$1" --version 2>/dev/null) =~ \ ([0-9]+) ]] && ((BASH_REMATCH[1] >= 16))
}

# check_postgres NAME URL: a connection, then SELECT 1, within 5 s; else one line and exit 69.
check_postgres() {
    local said at
    split_url "$1" "$2" 5432
    authority "$url_host" "$url_port"
    at=$REPLY
    accepts_tcp "$url_host" "$url_port" ||
        die 69 "Postgres at $at does not accept connections. Is it running, and is $1 right?"
    # Without a psql the first command that logs in says the same.
    local psql=${postgres_bin:+$postgres_bin/psql}
    psql=${psql:-$(command -v psql)} || return 0
    # Older ones take it for the name of a file.
    if [[ $url_query =~ (^|&)sslrootcert=system(&|$) ]] && ! knows_system_roots "$psql"; then
        warn "$1 was not tried: $psql is older than 16 and does not know sslrootcert=system. The services try it themselves."
        return 0
    fi
    # A word to the services, which psql refuses.
    local bare=${url_bare//pooler=transaction&/}
    bare=${bare//pooler=transaction/}
    said=$(PGPASSWORD=$url_password PGCONNECT_TIMEOUT=2 timeout 3 "$psql" -X -q -A -t -v ON_ERROR_STOP=1 "$bare" \
        <<<'SELECT 1' 2>&1 >/dev/null) && return 0
    psql_reason "$said"
    die 69 "Postgres at $at refuses $1: $REPLY"
}

# --- Redis ----------------------------------------------------------------------------------

# create_redis DIR PORT PASSWORD [LINE]...: its configuration, of which nothing is on a command
# line for others to read.
create_redis() {
    local dir=$1 port=$2 password=${3//\\/\\\\}
    shift 3
    adopt_directory "$dir"
    (
        umask 077
        printf '%s\n' 'bind 127.0.0.1' "port $port" "dir \"$dir\"" "requirepass \"${password//\"/\\\"}\"" \
            'daemonize no' 'logfile ""' 'databases 64' 'appendonly yes' 'appendfsync everysec' 'save ""' \
            'maxmemory-policy noeviction' "$@" >"$dir/redis.conf"
    )
    ((${#as_server[@]} == 0)) || chown --reference="$dir" "$dir/redis.conf"
}

# start_redis DIR LOG: the pid in REPLY.
start_redis() {
    spawn "$2" "${as_server[@]}" "${with_parent[@]}" "$redis_server" "$1/redis.conf"
}

# redis_ping HOST PORT USER PASSWORD: the last answer in REPLY, which is +PONG when all is well.
redis_ping() {
    REPLY=$(
        send() {
            local word
            printf '*%d\r\n' $# && for word; do printf '$%d\r\n%s\r\n' ${#word} "$word"; done
        }
        exec 2>/dev/null 3<>"/dev/tcp/$1/$2" || exit
        answer=+OK
        if [[ -n $4 ]]; then
            if [[ -n $3 ]]; then send AUTH "$3" "$4" >&3; else send AUTH "$4" >&3; fi
            IFS= read -r -t 2 -u 3 answer
        fi
        if [[ $answer == +OK* ]]; then
            send PING >&3
            IFS= read -r -t 2 -u 3 answer
        fi
        printf '%s' "${answer%$'\r'}"
    )
    [[ $REPLY == +PONG ]]
}

# wait_for_redis PID PORT PASSWORD SECONDS. On failure the reason is in REPLY.
wait_for_redis() {
    local ticks=$(($4 * 20))
    while ((ticks-- > 0)); do
        alive "$1" || { REPLY="it ended at once"; return 1; }
        redis_ping 127.0.0.1 "$2" '' "$3" && return 0
        [[ $REPLY == -WRONGPASS* ]] && break
        pause 0.05
    done
    REPLY=${REPLY:-no answer to PING}
    return 1
}

# check_redis_tls NAME ADDRESS: PING over TLS, by redis-cli where it is installed; bash cannot. The services
# say themselves what is wrong with a certificate.
check_redis_tls() {
    local ca=() pair user=()
    command -v redis-cli >/dev/null || return 0
    for pair in ${url_query//&/ }; do
        [[ $pair == sslrootcert=* ]] || continue
        percent_decode "${pair#*=}"
        ca=(--cacert "$REPLY")
    done
    [[ -z $url_user ]] || user=(--user "$url_user")
    # Its password is in the environment, which others cannot read.
    REPLY=$(REDISCLI_AUTH=$url_password timeout 3 redis-cli -h "$url_host" -p "$url_port" --tls --sni "$url_host" \
        ${ca[@]+"${ca[@]}"} ${user[@]+"${user[@]}"} --no-auth-warning PING 2>&1 | sed '/^$/d' | tail -n 1)
    [[ $REPLY == PONG ]] || die 69 "Redis at $2 refuses $1 over TLS: ${REPLY:-no answer to PING}"
}

# check_redis NAME URL: a connection, then PING, within 5 s; else one line and exit 69.
check_redis() {
    local at
    split_url "$1" "$2" 6379
    authority "$url_host" "$url_port"
    at=$REPLY
    accepts_tcp "$url_host" "$url_port" ||
        die 69 "Redis at $at does not accept connections. Is it running, and is $1 right?"
    if [[ $url_scheme == rediss ]]; then
        check_redis_tls "$1" "$at"
        return
    fi
    redis_ping "$url_host" "$url_port" "$url_user" "$url_password" ||
        die 69 "Redis at $at refuses $1: ${REPLY:-no answer to PING}"
}
