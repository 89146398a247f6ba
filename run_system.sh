#!/usr/bin/env bash
# Brings the arena up and keeps it up:  ./run_system.sh [start|status|stop|logs NAME|reset|version]
#
#   start   (or nothing) installs and builds what is missing, then Postgres, Redis, api, ticker, oracle,
#           bot-runner, in this order; stays in the foreground, starts again what dies, stops all in reverse on
#           Ctrl-C or SIGTERM
#   status  what runs and whether it is ready; with --watch again each second, until q or Ctrl-C, and with
#           tick, price, bots and the errors of the last minute
#   stop    stops a running stack, or what a killed one left behind, and waits for it
#   logs    shows a service's log, and follows it on a terminal
#   version which build this is
#   reset   deletes the private Postgres and Redis and the logs; asks first
#
# It is the installer: what runs is started and watched by `arenactl up`, which it becomes.
#
# Exit codes: 0 asked-for stop, 78 a setting is wrong, 69 something needed cannot be had, 1 the rest.
# Environment: ARENA_ENV_FILE (.env), ARENA_DATA_DIR (.data), ARENA_BIN_DIR (built programs; nothing
# is built then), ARENA_PROFILE (quick; `release` is optimised and takes
# several times as long to build), and every setting of .env.example.
export LC_ALL=C
set -uo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
# Relative paths are the caller's.
for name in ARENA_ENV_FILE ARENA_DATA_DIR ARENA_BIN_DIR BOTS_DIR BOTS_ENV_FILE; do
    [[ -z ${!name-} ]] || export "$name=$(realpath -ms "${!name}")"
done
export ARENA_HOME=$root
env_file=${ARENA_ENV_FILE:-$root/.env} data=${ARENA_DATA_DIR:-$root/.data}
cd "$root" || exit 1
# shellcheck source=scripts/lib/common.sh
source scripts/lib/common.sh
# shellcheck source=scripts/lib/packages.sh
source scripts/lib/packages.sh

job='' reporter=''

usage() { sed -n '2,/^export /{/^export /!s/^# \{0,1\}//p}' "$root/run_system.sh"; }

start() {
    local name bin
    claim
    for name in DATABASE_URL DATABASE_OWNER_URL REDIS_URL; do
        [[ -z ${!name+x} || -n ${!name} ]] ||
            die 78 "$name is set but empty in the environment, which hides any in $env_file. Unset it or give it a value."
    done
    look_at_servers
    [[ -n ${ARENA_BIN_DIR-} ]] || require_toolchain
    if [[ -n ${ARENA_BIN_DIR-} ]]; then
        bin=$ARENA_BIN_DIR
        [[ -x $bin/arenactl ]] || die 78 "ARENA_BIN_DIR ($bin) lacks arenactl."
    else
        build || die 1 "the build failed. The message above is cargo's."
        bin=$REPLY
    fi
    # It takes the lock itself, and has our pid.
    exec 9>&-
    exec "$bin/arenactl" up
}

# One stack at a time, from before the build on. `stop` finds us by the pid file, with the time of our start.
claim() {
    local error who='it is just starting'
    error=$({ mkdir -p "$data/run" "$data/logs" && chmod 755 "$data" && chmod 700 "$data/run" "$data/logs"; } 2>&1) ||
        die 1 "cannot write to $data as $(id -un): ${error##*: }. ARENA_DATA_DIR names another place."
    exec 9>"$data/run/lock" || die 1 "cannot write to $data/run as $(id -un)."
    if ! flock -n 9; then
        if running; then who="pid $REPLY"; fi
        die 1 "already running ($who). See: ./run_system.sh status"
    fi
    trap wind_up EXIT
    trap 'say; say stopping; exit 0' INT TERM HUP
    born $$
    say "$$ $REPLY" >"$data/run/supervisor.pid"
}

# born PID: in REPLY when that process started: with it a pid is unique.
born() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    read -r -a stat <<<"${stat##*) }"
    [[ ${stat[0]} != Z ]] && REPLY=${stat[19]}
}

# In REPLY the pid of the supervisor, while it runs.
running() {
    local pid start
    { read -r pid start <"$data/run/supervisor.pid"; } 2>/dev/null && born "$pid" && [[ $REPLY == "$start" ]] &&
        REPLY=$pid
}

# Without arenactl, so that it works while that is built, and after an upgrade of the source. The supervisor gives
# each of its six parts 15 s; it has as long for itself.
stop() {
    local pid deadline=$((SECONDS + 7 * 15))
    if running; then
        pid=$REPLY
        kill -s TERM "$pid" || die 1 "may not stop pid $pid as $(id -un)."
        while running; do
            ((SECONDS < deadline)) || die 1 "pid $pid has not stopped yet. See: ./run_system.sh status"
            sleep 0.05
        done
        say "stopped (pid $pid)"
    elif compgen -G "$data/run/*.pid" >/dev/null; then
        # Leftovers of a killed one.
        exec scripts/arenactl stop
    else
        say "not running"
    fi
}

status() {
    local code
    [[ ${1-} != --watch ]] || exec scripts/arenactl status "$@"
    if find_arenactl "$root"; then
        "$REPLY" status --services "$@"
        code=$?
        # One of an earlier version does not know these words.
        ((code == 2 && $# == 0)) || exit "$code"
    fi
    running || { say "not running"; exit 3; }
    say "run_system.sh runs (pid $REPLY). There is no arenactl of this version yet that could say more."
    exit 1
}

# shellcheck disable=SC2317 # reached by a trap
wind_up() {
    trap '' EXIT INT TERM HUP
    [[ -z $reporter ]] || kill "$reporter"
    if [[ -n $job ]]; then
        # It leads a group of its own only when setsid has run.
        kill -s TERM -- "-$job" 2>/dev/null || kill -s TERM "$job" 2>/dev/null
        wait "$job"
    fi
    rm -f "$data/run/supervisor.pid"
}

# named NAME: in REPLY what the environment, else a plain line of `.env` gives it. arenactl reads that file by
# its rules; this is for what should be known before a build of minutes.
named() {
    REPLY=${!1-}
    [[ -n ${!1+x} || ! -r $env_file ]] ||
        REPLY=$(sed -n "s/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}$1[[:space:]]*=[[:space:]]*//p" "$env_file" | tail -n 1)
    REPLY=${REPLY//[\"\'$'\r']/}
    [[ -n $REPLY ]]
}

# A given server that does not answer is reported; a private one needs its programs.
look_at_servers() {
    local server url port host marked wanted=()
    named ARENA_PRIVATE_SERVICES
    marked=,${REPLY/#1/postgres,redis},
    while read -r server url port; do
        if ! named "$url" || [[ -z ${!url-} && $marked == *,$server,* ]]; then
            wanted+=("$server")
        elif [[ $REPLY =~ ^[a-z]+://([^@/]*@)?(\[[^]]+\]|[^]:/?@[]+)(:([0-9]+))?([/?]|$) ]]; then
            host=${BASH_REMATCH[2]} port=${BASH_REMATCH[4]:-$port}
            # A host that drops packets would block for minutes.
            # shellcheck disable=SC2016
            timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' tcp "${host//[][]/}" "$port" 2>/dev/null ||
                die 69 "${server^} at $host:$port does not accept connections. Is it running, and is $url right?"
        fi
    done <<<$'postgres DATABASE_URL 5432\nredis REDIS_URL 6379'
    require_servers "${wanted[@]}"
}

require_toolchain() {
    find_cargo || die 69 "cargo is missing. Install Rust from https://rustup.rs, or set ARENA_BIN_DIR to built programs."
    command -v cc >/dev/null || require_packages build-essential
}

# Leaves the directory of the programs in REPLY. On a terminal cargo shows its progress itself; else there is a
# line every ten seconds, and what cargo says besides its progress is told when it fails.
build() {
    local profile=${ARENA_PROFILE:-quick} log=$data/logs/build.log code
    local programs=(api ticker oracle bot-runner arenactl)
    say "building ($profile; the first time takes some minutes)"
    [[ $profile != quick ]] || say "for a busy arena, build with optimisation: ARENA_PROFILE=release ./run_system.sh"
    name_source
    if [[ -t 2 ]]; then exec 3>&2; else exec 3>"$log"; fi
    setsid -- cargo build --locked --profile "$profile" "${programs[@]/#/--package=}" --bins </dev/null 2>&3 3>&- 9>&- &
    job=$!
    if [[ ! -t 2 ]]; then
        while sleep "${build_line_seconds:-10}" >/dev/null 2>&1; do
            say "building: $(grep -c '^ *Compiling ' "$log") crates begun after $SECONDS s; now $(sed -n 's/^ *Compiling \([^ ]*\).*/\1/p' "$log" | tail -n 1)"
        done 3>&- 9>&- &
        reporter=$!
    fi
    # In the background, so that a signal is heard at once.
    wait "$job"
    code=$?
    job=''
    exec 3>&-
    if [[ -n $reporter ]]; then
        kill "$reporter"
        wait "$reporter" 2>/dev/null
        reporter=''
        ((code == 0)) || grep -vE '^ *(Compiling|Downloading|Downloaded|Updating|Locking|Blocking|Finished) ' "$log" >&2
    fi
    target_directory "$root"
    case $profile in
        dev | test) REPLY+=/debug ;;
        bench) REPLY+=/release ;;
        *) REPLY+=/$profile ;;
    esac
    return "$code"
}

# Tells the build which commit this is, for --version. A source without one, or inside another repository,
# stays unnamed.
name_source() {
    local top
    [[ -z ${LEDGERDOME_COMMIT-} ]] || return 0
    top=$(git rev-parse --show-toplevel 2>/dev/null) && [[ $top == "$root" ]] || return 0
    LEDGERDOME_COMMIT=$(git describe --always --abbrev=12 --exclude='*' --dirty 2>/dev/null)
    LEDGERDOME_COMMIT_DATE=$(git show --no-patch --format=%cs HEAD 2>/dev/null)
    export LEDGERDOME_COMMIT LEDGERDOME_COMMIT_DATE
}

command=${1-start}
(($# == 0)) || shift
case $command in
    start) start ;;
    stop) stop ;;
    status) status "$@" ;;
    logs | reset) exec scripts/arenactl "$command" "$@" ;;
    version | --version | -V) exec scripts/arenactl --version ;;
    -h | --help | help) usage ;;
    *)
        usage >&2
        say >&2
        die 1 "\"$command\" is no command."
        ;;
esac
