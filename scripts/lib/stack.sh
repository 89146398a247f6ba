# shellcheck shell=bash
# What the stack consists of and what it needs before a service may start: the `.env`, private or
# given Postgres and Redis, free ports, programs. Sourced by run_system.sh after services.sh.
# shellcheck disable=SC2034 # started_with is read by supervise.sh
# shellcheck disable=SC2154 # env_path, data, logs, run and url_* are set by who sources this

# In the order of their start; they are stopped in reverse.
stack=(postgres redis api ticker oracle bot-runner)
programs=(api ticker oracle bot-runner arenactl)

declare -A port_name=([api]=API_PORT [ticker]=TICKER_HEALTH_PORT [oracle]=ORACLE_HEALTH_PORT [bot-runner]=BOT_RUNNER_HEALTH_PORT)
declare -A port_default=([api]=8000 [ticker]=8001 [oracle]=8002 [bot-runner]=8003)
declare -A host=() port=() private=()

# --- settings -------------------------------------------------------------------------------

# An empty variable hides the file's line from us and from the services: nothing that we write there
# could help.
refuse_empty_urls() {
    local name
    for name in DATABASE_URL DATABASE_OWNER_URL REDIS_URL; do
        [[ -z ${!name+x} || -n ${!name} ]] ||
            die 78 "$name is set but empty in the environment, which hides any in $env_path. Unset it or give it a value."
    done
}

# Writes the `.env` that a first start lacks, and adds to one that names no Postgres or no Redis
# the private ones. Its passwords are hex, so that they mean the same to everyone who reads them.
ensure_env_file() {
    local missing=()
    check_private_ports
    if [[ ! -e $env_path ]]; then
        { (umask 077 && first_env_lines >"$env_path.new") && mv "$env_path.new" "$env_path"; } ||
            die 1 "cannot write $env_path."
        say "wrote $env_path (mode 0600) with random secrets; they are yours to keep"
    fi
    [[ -r $env_path ]] || die 78 "$env_path cannot be read by $(id -un); it belongs to $(stat -c %U "$env_path")."
    load_env_file "$env_path"
    ensure_backup_key
    setting DATABASE_URL || missing+=(postgres)
    setting REDIS_URL || missing+=(redis)
    ((${#missing[@]})) || return 0
    # Passwords are about to go in.
    if (($(stat -L -c '0%a' "$env_path") & 077)); then
        chmod 600 "$env_path" || die 1 "cannot make $env_path private (chmod 600) as $(id -un)."
        say "made $env_path readable by its owner alone (mode 0600)"
    fi
    # At once, so that nobody ever reads half of it.
    local lines
    lines=$(private_lines "${missing[@]}") || exit
    printf '\n%s\n' "$lines" >>"$env_path" || die 1 "cannot write $env_path."
    load_env_file "$env_path"
    say "added to $env_path, private and under .data/: ${missing[*]}"
}

# Before anything is written: a port that is none would stand in `.env` for good.
check_private_ports() {
    local name other='' asked_for=()
    [[ ! -r $env_path ]] || load_env_file "$env_path"
    # Only what names no server yet gets a port.
    setting DATABASE_URL || asked_for+=(PRIVATE_POSTGRES_PORT)
    setting REDIS_URL || asked_for+=(PRIVATE_REDIS_PORT)
    for name in ${asked_for[@]+"${asked_for[@]}"}; do
        setting "$name" || continue
        port_setting "$name"
        [[ $REPLY != "$other" ]] || die 78 "PRIVATE_POSTGRES_PORT and PRIVATE_REDIS_PORT are both $REPLY. Change one of them."
        other=$REPLY
    done
}

# Makes the BACKUP_KEY that a `.env` lacks. It is the one secret that is shown, once: it has to be kept
# away from this machine too, and a restore elsewhere asks for it.
ensure_backup_key() {
    ! setting BACKUP_KEY || return 0
    # Empty in the environment turns it off.
    [[ -z ${BACKUP_KEY+x} ]] || return 0
    if [[ ! -w $env_path ]]; then
        warn "$env_path has no BACKUP_KEY and cannot be written by $(id -un): backups will not be authenticated."
        return
    fi
    if (($(stat -L -c '0%a' "$env_path") & 077)); then
        chmod 600 "$env_path" || die 1 "cannot make $env_path private (chmod 600) as $(id -un)."
        say "made $env_path readable by its owner alone (mode 0600)"
    fi
    random_hex 32
    printf '\n%s\n%s\n%s\n' '# Authenticates backups. Keep a copy away from this machine and from them: restoring elsewhere asks' \
        '# for it.' "BACKUP_KEY=$REPLY" >>"$env_path" || die 1 "cannot write $env_path."
    say "added to $env_path, and shown this once: BACKUP_KEY=$REPLY"
    say "keep a copy away from this machine and from the backups: restoring elsewhere asks for it"
    load_env_file "$env_path"
}

first_env_lines() {
    say '# Written by run_system.sh. Settings are listed in .env.example; the environment overrides them.'
    say 'ENV=development'
    # 128 bits: a shorter seed could be tried against the past, and is refused.
    random_hex 16
    say "PRICE_SOURCES=coingecko,kraken,simulated:$REPLY"
    random_hex 32
    say "SECRET_KEY=$REPLY"
    random_hex 24
    say "ADMIN_TOKEN=$REPLY"
}

# private_lines [postgres] [redis]
private_lines() {
    local wanted marker=${env_file[ARENA_PRIVATE_SERVICES]-}
    say '# run_system.sh starts these under .data/ itself, as the next line tells it to. To use servers of'
    say '# your own, remove that line and name them in the URLs.'
    [[ $marker == 1 ]] && marker=postgres,redis
    for wanted; do marker+=${marker:+,}$wanted; done
    say "ARENA_PRIVATE_SERVICES=$marker"
    for wanted; do
        if [[ $wanted == postgres ]]; then
            setting PRIVATE_POSTGRES_PORT || free_port 5433
            local at="127.0.0.1:$REPLY/arena"
            random_hex 24
            say "DATABASE_URL=postgres://arena_app:$REPLY@$at"
            random_hex 24
            say "DATABASE_OWNER_URL=postgres://arena_owner:$REPLY@$at"
        else
            setting PRIVATE_REDIS_PORT || free_port 6380
            local at="127.0.0.1:$REPLY/0"
            random_hex 24
            say "REDIS_URL=redis://default:$REPLY@$at"
        fi
    done
}

# connectable ADDRESS: where to reach who listens on it; for a wildcard that is the loopback.
connectable() {
    REPLY=${1#[}
    REPLY=${REPLY%]}
    case $REPLY in
        0.0.0.0) REPLY=127.0.0.1 ;;
        *[!0:]*) ;;
        *:*) REPLY=::1 ;;
    esac
}

# Fills host, port and private from the settings.
resolve_stack() {
    local name marker=${env_file[ARENA_PRIVATE_SERVICES]-}
    [[ $marker == 1 ]] && marker=postgres,redis
    # What the environment names is never ours to start.
    [[ -z ${DATABASE_URL-} && ,$marker, == *,postgres,* ]] && private[postgres]=1
    [[ -z ${REDIS_URL-} && ,$marker, == *,redis,* ]] && private[redis]=1
    setting DATABASE_URL
    local app_url=$REPLY
    split_url DATABASE_URL "$app_url" 5432
    host[postgres]=$url_host port[postgres]=$url_port
    # Services that go through a pooler have its port; Postgres itself is where its owner finds it.
    if [[ -n ${private[postgres]-} && $app_url == *pooler=transaction* ]] && setting DATABASE_OWNER_URL; then
        split_url DATABASE_OWNER_URL "$REPLY" 5432
        host[postgres]=$url_host port[postgres]=$url_port
    fi
    setting REDIS_URL
    split_url REDIS_URL "$REPLY" 6379
    [[ $url_scheme == redis || ($url_scheme == rediss && -z ${private[redis]-}) ]] ||
        die 78 "REDIS_URL must begin with redis://, or with rediss:// for a Redis of your own with TLS; the services do not speak ${url_scheme}:// there."
    host[redis]=$url_host port[redis]=$url_port
    if [[ -n ${DATABASE_URL-} && -z ${DATABASE_OWNER_URL-} && ,$marker, == *,postgres,* ]] || ! setting DATABASE_OWNER_URL; then
        die 78 "DATABASE_URL is given but DATABASE_OWNER_URL is not. Set it to the URL of the role that owns the database's schema (arena_owner), with which arenactl migrates."
    fi
    for name in "${!port_name[@]}"; do
        port_setting "${port_name[$name]}" "${port_default[$name]}"
        port[$name]=$REPLY
        if [[ $name == api ]]; then setting API_HOST 127.0.0.1; else setting HEALTH_HOST 127.0.0.1; fi
        connectable "$REPLY"
        host[$name]=$REPLY
    done
    # The services read the same file as we do, wherever they were built.
    export ARENA_HOME=$root ARENA_ENV_FILE=$env_path
    authority "${host[api]}" "${port[api]}"
    local api=$REPLY
    setting API_URL || export API_URL="http://$api"
}

# --- preflight ------------------------------------------------------------------------------

check_ports_free() {
    local name setting_name holder
    local -A used=()
    for name in "${stack[@]}"; do
        setting_name=${port_name[$name]-}
        if [[ -z $setting_name ]]; then
            [[ -n ${private[$name]-} ]] || continue
            setting_name='the port in REDIS_URL'
            [[ $name == redis ]] || setting_name='the port in DATABASE_URL and DATABASE_OWNER_URL'
            [[ ${host[$name]} == 127.0.0.1 ]] ||
                die 78 "$name is marked private (ARENA_PRIVATE_SERVICES in $env_path) but its URL names another host. Remove the mark to use that one."
        fi
        free_for_private "$name"
        [[ -z ${used[${port[$name]}]-} ]] || die 78 "$name and ${used[${port[$name]}]} both want port ${port[$name]}. Change $setting_name."
        used[${port[$name]}]=$name
        port_taken "${port[$name]}" || continue
        port_holder "$REPLY"
        holder=$REPLY
        unwanted_port "${port[$name]}"
        die 69 "port ${port[$name]}, wanted by $name, is taken by $holder. Stop that, or change $setting_name ($REPLY is free)."
    done
}

# unwanted_port PORT: the next free one after it. One that another of ours wants is not free.
unwanted_port() {
    REPLY=$(($1 < 65535 ? $1 : 1024))
    while free_port $((REPLY + 1)) && [[ " ${port[*]} " == *" $REPLY "* ]]; do :; done
}

# free_for_private NAME: where somebody else has a private server's port by now, the server takes the next
# free one, which `.env` names from then on. Not where somebody asked for this very port, nor where it is
# our own files that are served there: two servers on them would destroy them.
free_for_private() {
    local name=$1 old=${port[$1]} names=REDIS_URL asked=PRIVATE_REDIS_PORT holder new directory
    [[ -n ${private[$name]-} ]] && port_taken "$old" || return 0
    [[ $name == redis ]] || names='DATABASE_URL|DATABASE_OWNER_URL' asked=PRIVATE_POSTGRES_PORT
    port_holder "$REPLY"
    holder=$REPLY
    ! setting "$asked" || [[ $REPLY != "$old" ]] || return 0
    if [[ $holder =~ \(pid\ ([0-9]+)\)$ ]] && directory=$(readlink "/proc/${BASH_REMATCH[1]}/cwd"); then
        [[ $directory/ != "$(realpath -m "$data/$name")"/* ]] ||
            die 69 "$holder serves $directory already, and no $run/$name.pid knows of it. Stop it first: kill ${BASH_REMATCH[1]}"
    fi
    unwanted_port "$old"
    new=$REPLY
    sed -E -i --follow-symlinks "/^[[:space:]]*(export[[:space:]]+)?($names)[[:space:]]*=/s#(@127\\.0\\.0\\.1:)$old([/?'\"[:space:]]|\$)#\\1$new\\2#" "$env_path" ||
        die 1 "cannot write $env_path."
    load_env_file "$env_path"
    resolve_stack
    [[ ${port[$name]} != "$new" ]] ||
        say "port $old is taken by $holder: the private $name moves to $new, as $env_path now says"
}

# What runs where, for who asks later with other settings.
remember_stack() {
    local name
    {
        for name in "${stack[@]}"; do say "$name ${host[$name]} ${port[$name]} ${private[$name]-}"; done
        say "bin $bin"
        say "env $env_path"
        say "environment ${DATABASE_URL:+DATABASE_URL}"
    } >"$run/stack.new" || die 1 "cannot write to $run."
    mv "$run/stack.new" "$run/stack" || die 1 "cannot write to $run."
}

# recall_stack: as remember_stack left it, with the `.env` that it reads, and in started_with whether it was
# given its DATABASE_URL by its environment instead. Fails unless some of it runs.
recall_stack() {
    local name host_of port_of private_of rest alive=
    for name in supervisor "${stack[@]}"; do read_pid_file "$run/$name.pid" && alive=1; done
    [[ -n $alive && -r $run/stack ]] || return 1
    while read -r name rest; do
        case $name in
            bin) bin=$rest ;;
            env) env_path=$rest ;;
            environment) started_with=$rest ;;
            *)
                read -r host_of port_of private_of <<<"$rest"
                host[$name]=$host_of port[$name]=$port_of private[$name]=$private_of
                ;;
        esac
    done <"$run/stack"
}

# Leaves the directory of the programs in bin; without one that is given they are built first.
find_binaries() {
    local name absent=()
    if [[ -n ${ARENA_BIN_DIR-} ]]; then
        bin=$ARENA_BIN_DIR
        for name in "${programs[@]}"; do [[ -x $bin/$name ]] || absent+=("$name"); done
        ((${#absent[@]} == 0)) || die 78 "ARENA_BIN_DIR ($bin) lacks ${absent[*]}."
        return 0
    fi
    local profile=${ARENA_PROFILE:-release} folder target
    case $profile in
        dev | test) folder=debug ;;
        bench) folder=release ;;
        *) folder=$profile ;;
    esac
    say "building ($profile; the first time takes some minutes)"
    name_source
    build cargo build --locked --profile "$profile" "${programs[@]/#/--package=}" --bins ||
        die 1 "the build failed. The message above is cargo's."
    target=$(cargo metadata --no-deps --offline --format-version 1 2>/dev/null |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    bin=${target:-$root/target}/$folder
}

# build COMMAND...: on a terminal cargo shows its progress itself; else there is a line every ten seconds,
# and what cargo says besides its progress is told when it fails.
build_line_ms=10000
build() {
    local log=$logs/build.log due began step='^ *(Compiling|Downloading|Downloaded|Updating|Locking|Blocking|Finished) '
    if [[ -t 2 ]]; then
        run_job "$@"
        return
    fi
    begin_job "$@" 2>"$log"
    now_ms
    began=$REPLY due=$((REPLY + build_line_ms))
    while alive "$job"; do
        pause 0.2
        now_ms
        ((REPLY >= due)) || continue
        due=$((due + build_line_ms))
        say "building: $(grep -c '^ *Compiling ' "$log") crates begun after $(((REPLY - began) / 1000)) s; now $(sed -n 's/^ *Compiling \([^ ]*\).*/\1/p' "$log" | tail -n 1)"
    done
    end_job && return
    local code=$?
    grep -vE "$step" "$log" >&2
    return "$code"
}

# Tells the build which commit this is, for --version. A source without one, or inside somebody
# else's repository, stays unnamed.
name_source() {
    local top
    [[ -z ${LEDGERDOME_COMMIT-} ]] || return 0
    top=$(git rev-parse --show-toplevel 2>/dev/null) && [[ $top == "$root" ]] || return 0
    LEDGERDOME_COMMIT=$(git describe --always --abbrev=12 --exclude='*' --dirty 2>/dev/null)
    LEDGERDOME_COMMIT_DATE=$(git show --no-patch --format=%cs HEAD 2>/dev/null)
    export LEDGERDOME_COMMIT LEDGERDOME_COMMIT_DATE
}

check_toolchain() {
    local home=${HOME-}
    [[ -z ${ARENA_BIN_DIR-} ]] || return 0
    [[ -n $home ]] || home=$(getent passwd "$EUID" | cut -d : -f 6)
    command -v cargo >/dev/null || PATH="$home/.cargo/bin:$PATH"
    command -v cargo >/dev/null || die 69 "cargo is missing. Install Rust from https://rustup.rs, or set ARENA_BIN_DIR to built programs."
    command -v cc >/dev/null && return 0
    { command -v apt-get >/dev/null && ((EUID == 0)); } || die 69 "a C compiler (cc) is missing. Run: sudo apt-get install build-essential"
    install_packages build-essential
}

# --- Postgres and Redis -----------------------------------------------------------------------

# Servers of the user's own must answer before anything is started.
check_given_servers() {
    find_programs
    [[ -n ${private[redis]-} ]] || { setting REDIS_URL && check_redis REDIS_URL "$REPLY"; }
    [[ -n ${private[postgres]-} ]] || check_both_roles
}

check_both_roles() {
    setting DATABASE_URL && check_postgres DATABASE_URL "$REPLY"
    setting DATABASE_OWNER_URL && check_postgres DATABASE_OWNER_URL "$REPLY"
}

# Before the build, so that nobody waits for it in vain.
require_private_programs() {
    local wanted=()
    [[ -z ${private[postgres]-} ]] || wanted+=(postgres)
    [[ -z ${private[redis]-} ]] || wanted+=(redis)
    require_programs "${wanted[@]}"
    [[ -z ${private[postgres]-} ]] || match_postgres "$data/postgres"
}

start_private_servers() {
    # Both at once; then ask each.
    [[ -z ${private[postgres]-} ]] || launch postgres
    [[ -z ${private[redis]-} ]] || launch redis
    [[ -z ${private[redis]-} ]] || wait_for_private_redis
    [[ -z ${private[postgres]-} ]] || wait_for_private_postgres
}

wait_for_private_redis() {
    setting REDIS_URL
    split_url REDIS_URL "$REPLY" 6379
    wait_for_redis "${pid[redis]}" "$url_port" "$url_password" 30 && return 0
    [[ $REPLY != -* ]] || die 69 "the private Redis refuses REDIS_URL: $REPLY"
    die 69 "the private Redis does not answer: $REPLY. See $logs/redis.log: $(last_words redis 69)"
}

wait_for_private_postgres() {
    # A crash may have left much to recover.
    wait_for_postgres "${pid[postgres]}" "$postgres_dir" "${port[postgres]}" 120 ||
        die 69 "the private Postgres does not answer: $REPLY. See $logs/postgres.log: $(last_words postgres 69)"
    keep_roles
    check_both_roles
}

sql_literal() {
    local quote="'"
    REPLY=$quote${1//$quote/$quote$quote}$quote
}

# The private cluster's roles and database follow what `.env` says, so that a lost or edited
# `.env` never locks anyone out.
keep_roles() {
    local name role app statements='' error
    for name in DATABASE_URL DATABASE_OWNER_URL; do
        setting "$name"
        split_url "$name" "$REPLY" 5432
        [[ $url_user != "$superuser" ]] || die 78 "the private Postgres' superuser must not be named in $env_path."
        sql_literal "$url_user"
        role=$REPLY
        [[ $name != DATABASE_URL ]] || app=$role
        sql_literal "$url_password"
        statements+="SELECT format('CREATE ROLE %I', $role) WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $role) \\gexec
SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $role, $REPLY) \\gexec
"
    done
    sql_literal "$url_database"
    # The first migrations name arena_app. In an empty cluster under a `.env` whose role was rotated, that
    # one has what they grant through it.
    statements+="SELECT 'CREATE ROLE arena_app NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = $REPLY) AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'arena_app') \\gexec
SELECT format('GRANT arena_app TO %I', $app) WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = $REPLY) AND $app <> 'arena_app' \\gexec
"
    statements+="SELECT format('CREATE DATABASE %I OWNER %I', $REPLY, $role) WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = $REPLY) \\gexec"
    # The statements have passwords, which must not get into Postgres' log, whatever fails.
    error=$(PGOPTIONS='-c log_min_error_statement=panic -c log_statement=none -c log_min_duration_statement=-1' \
        superuser_psql "$postgres_dir" "${port[postgres]}" <<<"$statements" 2>&1 >/dev/null) && return 0
    psql_reason "$error"
    die 69 "cannot create the roles of the private Postgres: $REPLY"
}
