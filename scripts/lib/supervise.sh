# shellcheck shell=bash
# Starting, watching and stopping the stack's processes. Each is known by its pid file, which also
# holds its start time, so that a recycled pid is never taken for a service. Sourced by
# run_system.sh after stack.sh.
# shellcheck disable=SC2154 # stack, host, port, private, logs, run, data, bin come from who sources this

declare -A pid=() told_upgrade=() told_writer=() writer=() log_mark=() pause_ms=() due_at=() born_at=() recovering=() unready=() look_at=()
ready_deadline_seconds=60
stop_deadline_seconds=15
backoff_first_ms=1000
backoff_last_ms=30000
healthy_after_ms=60000
look_every_ms=5000
job='' spawning=0 stop_asked=0

now_ms() { REPLY=$((${EPOCHREALTIME/[.,]/} / 1000)); }

# The answer to a signal. Between a process's birth and the note of its pid it has to wait, or nobody
# would know whom to stop.
# shellcheck disable=SC2317 # reached by a trap
asked_to_stop() {
    stop_asked=1
    ((spawning)) && return 0
    say
    say stopping
    exit 0
}

spawning_done() {
    spawning=0
    ((stop_asked == 0)) || asked_to_stop
}

# --- start ------------------------------------------------------------------------------------

# launch NAME: starts it and writes its pid file.
launch() {
    local name=$1 log=$logs/$1.log
    : >>"$log"
    log_mark[$name]=$(stat -c %s "$log")
    case $name in
        postgres)
            reachable_directory "$data/postgres"
            postgres_dir=$REPLY
            create_postgres "$postgres_dir"
            ;;
        redis)
            reachable_directory "$data/redis"
            redis_dir=$REPLY
            setting REDIS_URL
            split_url REDIS_URL "$REPLY" 6379
            create_redis "$redis_dir" "$url_port" "$url_password"
            ;;
    esac
    spawning=1
    # Services rotate their logs themselves. Servers that cannot have a process that writes for them; it ends
    # when they do.
    local sink=''
    if [[ -n ${private[$name]-} ]]; then
        # shellcheck disable=SC2094 # it is opened for appending by both
        exec {sink}> >(exec setsid -- "$bin/arenactl" keep-log "$log" >/dev/null 2>>"$log" 9>&- {never}>&-)
        writer[$name]=$!
    fi
    case $name in
        postgres) start_postgres "$postgres_dir" "${port[postgres]}" "/dev/fd/$sink" ;;
        redis) start_redis "$redis_dir" "/dev/fd/$sink" ;;
        *) LOG_FILE=$log spawn "$log" "$bin/$name" ;;
    esac
    pid[$name]=$REPLY
    [[ -z $sink ]] || exec {sink}>&-
    write_pid_file "$run/$name.pid" "${pid[$name]}"
    spawning_done
    now_ms
    born_at[$name]=$REPLY
}

# start_service NAME: only returns when its /ready says 200.
start_service() {
    local name=$1 ticks=$((ready_deadline_seconds * 20)) code answer
    launch "$name"
    while ((ticks-- > 0)); do
        http_status "${host[$name]}" "${port[$name]}" /ready
        answer=$REPLY
        [[ $answer == 200 ]] && return 0
        if ! alive "${pid[$name]}"; then
            wait "${pid[$name]}"
            code=$?
            warn "$name ended while starting (code $code). See $logs/$name.log. It said:"
            last_words "$name" "$code" >&2
            [[ $code == 78 || $code == 69 ]] || code=1
            exit "$code"
        fi
        pause 0.05
    done
    authority "${host[$name]}" "${port[$name]}"
    warn "$name was not ready within $ready_deadline_seconds s (http://$REPLY/ready says $answer). See $logs/$name.log. It said:"
    last_words "$name" 1 >&2
    exit 1
}

# What a service said about its end: with 78 its whole list of problems, else its last line.
last_words() {
    local text plain mark=${log_mark[$1]} ticks=20
    # What writes a server's log may not have done so yet.
    while [[ -n ${writer[$1]-} ]] && alive "${writer[$1]}" && ! alive "${pid[$1]}" && ((ticks-- > 0)); do pause 0.05; done
    # Rotated since.
    (($(stat -c %s "$logs/$1.log") >= mark)) || mark=0
    text=$(tail -c "+$((mark + 1))" "$logs/$1.log" | tail -n 20)
    plain=$(grep -v '^{' <<<"$text")
    if [[ $2 == 78 && -n $plain ]]; then
        say "$plain"
    else
        tail -n 1 <<<"${plain:-$text}"
    fi
}

# run_job COMMAND...: in the background, so that a signal to us is heard at once.
run_job() {
    begin_job "$@"
    end_job
}

begin_job() {
    spawning=1
    setsid -- "$@" </dev/null 9>&- {never}>&- &
    job=$!
    spawning_done
}

end_job() {
    wait "$job"
    local code=$?
    job=''
    return "$code"
}

# --- watch ------------------------------------------------------------------------------------

watch() {
    local name
    while :; do
        for name in "${stack[@]}"; do
            [[ -n ${pid[$name]-} ]] && watch_one "$name"
        done
        pause 0.2
    done
}

watch_one() {
    local name=$1 code now colour=''
    now_ms
    now=$REPLY
    if [[ -n ${due_at[$name]-} ]]; then
        ((now >= due_at[$name])) || return 0
        unset "due_at[$name]"
        launch "$name"
        recovering[$name]=1
        say "$(date +%T) $name is started again (pid ${pid[$name]})"
    elif alive "${pid[$name]}"; then
        ((now - born_at[$name] >= healthy_after_ms)) && unset "pause_ms[$name]"
        if [[ -z ${port_name[$name]-} ]]; then
            ((now >= ${look_at[$name]:-0})) || return 0
            look_at[$name]=$((now + look_every_ms))
            see_writer "$name"
            [[ ${told_upgrade[$name]-} != "${pid[$name]}" ]] && upgraded "$name" "${pid[$name]}" || return 0
            told_upgrade[$name]=${pid[$name]}
            say "$(date +%T) ${yellow}$REPLY${plain}"
            return 0
        fi
        [[ -n ${recovering[$name]-} ]] || ((now >= ${look_at[$name]:-0})) || return 0
        look_at[$name]=$((now + look_every_ms))
        see_readiness "$name"
    else
        wait "${pid[$name]}" 2>/dev/null
        code=$?
        pause_ms[$name]=${pause_ms[$name]:-$backoff_first_ms}
        unset "unready[$name]"
        [[ -t 2 ]] && colour=$red
        warn "$(date +%T) $colour$name (pid ${pid[$name]}) died with code $code${colour:+$plain}; starting it again in $((pause_ms[$name] / 1000)) s. Its last words: $(last_words "$name" 1)"
        due_at[$name]=$((now + pause_ms[$name]))
        pause_ms[$name]=$((pause_ms[$name] * 2 > backoff_last_ms ? backoff_last_ms : pause_ms[$name] * 2))
    fi
}

# see_writer NAME: says once when the process that writes a server's log has ended before the server. The
# server goes on, and what it says is lost.
see_writer() {
    [[ -n ${writer[$1]-} && ${told_writer[$1]-} != "${writer[$1]}" ]] || return 0
    ! alive "${writer[$1]}" || return 0
    told_writer[$1]=${writer[$1]}
    say "$(date +%T) ${yellow}$1 runs, but what wrote its log (arenactl keep-log, pid ${writer[$1]}) has ended; $logs/$1.log says why. When a pause of some seconds suits: ./run_system.sh stop, then start it again.${plain}"
}

# see_readiness NAME: says it when that has changed.
see_readiness() {
    local name=$1
    http_status "${host[$name]}" "${port[$name]}" /ready
    if [[ $REPLY == 200 ]]; then
        [[ -n ${recovering[$name]-}${unready[$name]-} ]] || return 0
        unset "recovering[$name]" "unready[$name]"
        say "$(date +%T) ${green}$name is ready again${plain}"
    elif [[ -z ${recovering[$name]-}${unready[$name]-} ]]; then
        unready[$name]=1
        # One that has just died is told of as that.
        alive "${pid[$name]}" || return 0
        authority "${host[$name]}" "${port[$name]}"
        say "$(date +%T) ${yellow}$name is not ready${plain}; http://$REPLY/ready says why"
    fi
}

# --- stop -------------------------------------------------------------------------------------

# Stops whatever the pid files name, in reverse order, whoever started it.
stop_stack() {
    local index name signal last stopped=()
    for ((index = ${#stack[@]} - 1; index >= 0; index--)); do
        name=${stack[index]}
        if read_pid_file "$run/$name.pid"; then
            signal=TERM last=KILL
            # "Fast" for Postgres: it would wait for its clients on TERM. QUIT keeps it from
            # leaving its children behind, as KILL does.
            [[ $name == postgres ]] && signal=INT last=QUIT
            stop_process "$REPLY" "$signal" "$stop_deadline_seconds" "$last" "$name"
            stopped+=("$name")
        fi
        rm -f "$run/$name.pid"
    done
    rm -f "$run/stack"
    ((${#stopped[@]} == 0)) || say "stopped ${stopped[*]}"
}

# The end of run_system.sh, whatever its reason.
# shellcheck disable=SC2317 # reached by a trap
wind_up() {
    trap '' EXIT INT TERM HUP
    if [[ -n $job ]]; then
        # It leads a group of its own only when setsid has run.
        kill -s TERM -- "-$job" 2>/dev/null || kill -s TERM "$job" 2>/dev/null
        wait "$job"
    fi
    stop_stack
    rm -f "$run/supervisor.pid"
}

# --- status -----------------------------------------------------------------------------------

# A line for each part; fails unless all of them are ready.
print_status() {
    local name state number age colour notes='' all=0
    printf '%-12s %-10s %8s %10s  %s\n' SERVICE STATE PID UP ADDRESS
    for name in "${stack[@]}"; do
        number=- age=- state=down
        if read_pid_file "$run/$name.pid"; then
            number=$REPLY
            up_time "$number"
            age=$REPLY
            state=starting
            [[ -z ${private[$name]-} ]] || ! upgraded "$name" "$number" || notes+=$'\n'$REPLY
        fi
        if [[ -n ${port_name[$name]-} ]]; then
            http_status "${host[$name]}" "${port[$name]}" /ready
            [[ $number != - && $REPLY == 503 ]] && state='not ready'
            [[ $number != - && $REPLY == 200 ]] && state=ready
        elif [[ $number != - || -z ${private[$name]-} ]] && accepts_tcp "${host[$name]}" "${port[$name]}"; then
            state=ready
        fi
        colour=$green
        if [[ $state != ready ]]; then
            all=1 colour=$yellow
            [[ $state != down ]] || colour=$red
        fi
        [[ -n ${port_name[$name]-}${private[$name]-} ]] || number=given
        authority "${host[$name]}" "${port[$name]}"
        printf '%-12s %s%-10s%s %8s %10s  %s\n' "$name" "$colour" "$state" "$plain" "$number" "$age" "$REPLY"
    done
    [[ -z $notes ]] || say "${yellow}${notes#$'\n'}${plain}"
    return "$all"
}

up_time() {
    local up seconds
    process_start "$1" || return 1
    read -r up _ </proc/uptime
    seconds=$((${up%.*} - REPLY / $(getconf CLK_TCK)))
    printf -v REPLY '%d:%02d:%02d' $((seconds / 3600)) $((seconds / 60 % 60)) $((seconds % 60))
}

# The table, again each second until somebody presses q or Ctrl-C. In place where the terminal can do
# that, else one below the other.
watch_status() {
    local table lines key='' in_place='' keys='' arena='' arena_next='' arena_source='' arena_due=0
    is_capable_terminal 1 && in_place=1
    [[ ! -t 0 ]] || keys=1
    # shellcheck disable=SC2064 # whether there is a cursor to put back is known now
    trap "${in_place:+printf '\\e[?7h\\e[?25h\\n'; }exit 0" INT TERM HUP
    # Without wrapping: a line that took two would make each table begin lower than the one before.
    [[ -z $in_place ]] || printf '\e[?25l\e[?7l'
    while :; do
        # It may have been started again, and on other ports.
        recall_stack
        # Collected first, so that nobody sees half of it.
        table=$(date +'%T  q quits' && print_status)
        read_pid_file "$run/supervisor.pid" || table+=$'\n'"run_system.sh itself is not running"
        ask_arena
        table+=$'\n\n'${arena:-"arena   asking"}
        [[ -z $in_place ]] || fit_rows
        if [[ -n $in_place ]]; then
            printf '%s\e[J' "${table//$'\n'/$'\e[K\n'}"$'\e[K\n'
        else
            printf '%s\n\n' "$table"
        fi
        key=''
        if [[ -n $keys ]]; then read -r -s -n 1 -t 1 key; else pause 1; fi
        [[ $key != [qQ] ]] || break
        lines=${table//[!$'\n']/}
        [[ -z $in_place ]] || printf '\e[%dA\r' $((${#lines} + 1))
    done
    [[ -z $in_place ]] || printf '\e[?7h\e[?25h'
}

# Cuts its caller's table to the rows of the terminal, which would scroll otherwise.
fit_rows() {
    local rows
    { rows=$(stty size <&8 2>/dev/null); } 8>&1
    rows=${rows%% *}
    # The last row is the cursor's.
    ((${rows:-0} > 1)) && table=$(head -n "$((rows - 1))" <<<"$table")
}

# ask_arena: keeps what arenactl says of the arena in its caller's variable arena. It is asked every five
# seconds and never waited for: a Postgres that hangs must not hold up the table.
ask_arena() {
    local part='' code
    now_ms
    if [[ -z $arena_source ]]; then
        ((REPLY >= arena_due)) || return 0
        arena_due=$((REPLY + 5000))
        if [[ ! -x ${bin-}/arenactl ]]; then
            arena='arena   not known: no arenactl is built'
            return 0
        fi
        # The settings are those of what runs, and not the caller's.
        if [[ -n ${started_with-} && -z ${DATABASE_URL-} ]]; then
            arena="arena   not known: the running stack was given $started_with by its environment. Set it here, too."
            return 0
        fi
        # Without the log lines of a RUST_LOG that is meant for services.
        exec {arena_source}< <(
            [[ -n ${started_with-} ]] || unset DATABASE_URL
            ARENA_ENV_FILE=$env_path RUST_LOG='' exec "$bin/arenactl" status --logs "$logs" 2>&1
        )
    fi
    IFS= read -r -d '' -t 0.1 -u "$arena_source" part
    code=$?
    arena_next+=$part
    # Beyond 128 there is more to come.
    ((code <= 128)) || return 0
    exec {arena_source}<&-
    arena=${arena_next%$'\n'} arena_next='' arena_source=''
}
