#!/usr/bin/env bash
# Brings the arena up and keeps it up:  ./run_system.sh [start|status|stop|logs NAME|reset|version]
#
#   start   (or nothing) builds, then Postgres, Redis, api, ticker, oracle, bot-runner, in this order;
#           stays in the foreground, starts again what dies, stops all in reverse on Ctrl-C or SIGTERM
#   status  what runs and whether it is ready; with --watch again each second, until q or Ctrl-C, and with
#           tick, price, bots and the errors of the last minute
#   stop    stops a running stack, or what a killed one left behind, and waits for it
#   logs    shows a service's log, and follows it on a terminal
#   version which source this is
#   reset   deletes the private Postgres and Redis and the logs; asks first
#
# Exit codes: 0 asked-for stop, 78 a setting is wrong, 69 something needed cannot be had, 1 the rest.
# Environment: ARENA_ENV_FILE (.env), ARENA_DATA_DIR (.data), ARENA_BIN_DIR (built programs; nothing
# is built then), ARENA_PROFILE (release), and every setting of .env.example.
export LC_ALL=C
set -uo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
# Relative paths are the caller's.
env_path=$(realpath -ms "${ARENA_ENV_FILE:-$root/.env}")
data=$(realpath -ms "${ARENA_DATA_DIR:-$root/.data}")
[[ -z ${ARENA_BIN_DIR-} ]] || ARENA_BIN_DIR=$(realpath -m "$ARENA_BIN_DIR")
[[ -z ${BOTS_DIR-} ]] || BOTS_DIR=$(realpath -m "$BOTS_DIR")
[[ -z ${BOTS_ENV_FILE-} ]] || BOTS_ENV_FILE=$(realpath -ms "$BOTS_ENV_FILE")
logs=$data/logs run=$data/run
cd "$root" || exit 1

# shellcheck source=scripts/lib/common.sh
source scripts/lib/common.sh
# shellcheck source=scripts/lib/services.sh
source scripts/lib/services.sh
# shellcheck source=scripts/lib/stack.sh
source scripts/lib/stack.sh
# shellcheck source=scripts/lib/supervise.sh
source scripts/lib/supervise.sh

usage() { sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$root/run_system.sh"; }

# One stack at a time. Children never inherit the lock, so it ends with this process.
lock() {
    local error
    error=$({ mkdir -p "$logs" "$run" && chmod 755 "$data" && chmod 700 "$logs" "$run"; } 2>&1) ||
        die 1 "cannot write to $data as $(id -un): ${error##*: }. ARENA_DATA_DIR names another place."
    exec 9>"$run/lock" || die 1 "cannot write to $run as $(id -un)."
    if ! flock -n 9; then
        read_pid_file "$run/supervisor.pid" || REPLY='it is just starting'
        die 1 "already running (pid $REPLY). See: $0 status"
    fi
}

start() {
    lock
    write_pid_file "$run/supervisor.pid" $$
    trap wind_up EXIT
    trap asked_to_stop INT TERM HUP
    # What a killed run left behind.
    stop_stack

    refuse_empty_urls
    check_toolchain
    ensure_env_file
    resolve_stack
    check_ports_free
    require_private_programs
    check_given_servers
    find_binaries
    # The build may have taken minutes, in which somebody took a port.
    check_ports_free
    remember_stack
    start_private_servers
    prepare migrate
    prepare genesis
    prepare sync-keys

    local name
    for name in api ticker oracle bot-runner; do
        start_service "$name"
    done
    print_status
    say
    authority "${host[api]}" "${port[api]}"
    say "The arena is open: http://$REPLY   and there /economy  /bots  /markets  /posts/feed  /ledger"
    say "Logs: $logs   Stop: Ctrl-C or ./run_system.sh stop"
    watch
}

# prepare COMMAND: one step of arenactl, whose exit code is ours when it fails.
prepare() {
    run_job "$bin/arenactl" "$1"
    local code=$?
    ((code == 0)) && return 0
    [[ $code == 78 || $code == 69 ]] || code=1
    die "$code" "arenactl $1 failed; its message is above. Nothing is left running."
}

status() {
    [[ -z ${1-} || $1 == --watch ]] || die 1 "\"$1\" is no option of status; there is --watch."
    # What runs may have been started with other settings than ours.
    recall_stack || configured_stack
    # As resolve_stack does: whom we ask reads the same file.
    export ARENA_HOME=$root ARENA_ENV_FILE=$env_path
    if [[ ${1-} == --watch ]]; then
        watch_status
        exit 0
    fi
    local supervised=0 code
    read_pid_file "$run/supervisor.pid" && supervised=1
    print_status
    code=$?
    ((supervised)) && exit "$code"
    say "run_system.sh itself is not running"
    exit 3
}

# The stack as this environment and `.env` would start it.
configured_stack() {
    if [[ ! -e $env_path ]]; then
        say "not running: $env_path does not exist yet"
        exit 3
    fi
    [[ -r $env_path ]] || die 78 "$env_path cannot be read by $(id -un)."
    load_env_file "$env_path"
    refuse_empty_urls
    if ! setting DATABASE_URL || ! setting REDIS_URL; then
        say "not running: $env_path names no Postgres or no Redis yet"
        exit 3
    fi
    resolve_stack
}

stop() {
    local supervisor deadline
    if read_pid_file "$run/supervisor.pid"; then
        supervisor=$REPLY
        kill -s TERM "$supervisor" || die 1 "may not stop pid $supervisor as $(id -un)."
        deadline=$((SECONDS + stop_deadline_seconds * (${#stack[@]} + 1)))
        while alive "$supervisor"; do
            ((SECONDS < deadline)) || die 1 "pid $supervisor has not stopped yet. See: $0 status"
            pause 0.05
        done
        say "stopped (pid $supervisor)"
    elif compgen -G "$run/*.pid" >/dev/null; then
        lock
        stop_stack
        rm -f "$run/supervisor.pid"
        say "run_system.sh itself was not running; nothing is left of what it had started"
    else
        say "not running"
    fi
}

show_log() {
    local file=$logs/${1-}.log
    if [[ -z ${1-} || $1 == */* || ! -f $file ]]; then
        local known
        known=$(cd "$logs" 2>/dev/null && compgen -G '*.log' | sed 's/\.log$//' | tr '\n' ' ')
        die 1 "which log? There is: ${known:-none yet}"
    fi
    # By its name, so that it follows over rotations.
    [[ ! -t 1 ]] || exec tail -n 100 -F "$file"
    { [[ ! -f $file.1 ]] || tail -n 100 "$file.1"; tail -n 100 "$file"; } | tail -n 100
}

reset() {
    local answer name
    lock
    if [[ ${1-} != --yes ]]; then
        say "This deletes the private Postgres and Redis and the logs in $data, with every bot and entry in them."
        say "Kept: $env_path, .env.bots, and servers of your own."
        printf 'Type "reset" to go on: '
        read -r answer || answer=
        [[ $answer == reset ]] || die 1 "nothing deleted."
    fi
    stop_stack
    for name in postgres redis; do
        [[ -L $data/$name ]] && rm -rf "$(readlink "$data/$name")"
        rm -rf "${data:?}/$name"
    done
    rm -rf "$logs" "$run"
    rmdir "$data" /var/lib/ledgerdome 2>/dev/null
    say "reset: the next start begins with an empty arena"
}

version() {
    name_source
    say "ledgerdome $(sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml) (${LEDGERDOME_COMMIT:-unknown}${LEDGERDOME_COMMIT_DATE:+, $LEDGERDOME_COMMIT_DATE})"
}

use_colours 1
case ${1-start} in
    start) start ;;
    status) status "${2-}" ;;
    stop) stop ;;
    logs) show_log "${2-}" ;;
    reset) reset "${2-}" ;;
    version | --version | -V) version ;;
    -h | --help | help) usage ;;
    *)
        usage >&2
        say >&2
        die 1 "\"$1\" is no command."
        ;;
esac
