# shellcheck shell=bash
# What every script here needs: messages, random secrets, settings, URLs, ports, processes.
# Sourced, never run. Functions that give one value leave it in REPLY, which saves a fork a call. Who sources
# it says LC_ALL=C first: letters, digits, decimal points and messages follow the locale.
# shellcheck disable=SC2034 # what is set here is used by who sources it

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
# die CODE MESSAGE: 78 for configuration, 69 for a dependency that cannot be had, 1 for the rest.
die() {
    local code=$1
    shift
    warn "$*"
    exit "$code"
}

# Whether descriptor $1 is a terminal that can do more than print lines.
is_capable_terminal() { [[ -t $1 && -n ${TERM-} && $TERM != dumb ]]; }

# use_colours DESCRIPTOR: fills green, yellow, red and plain, with nothing unless that is a terminal
# and nobody asked for none (https://no-color.org).
green='' yellow='' red='' plain=''
use_colours() {
    is_capable_terminal "$1" && [[ -z ${NO_COLOR-} ]] || return 0
    green=$'\e[32m' yellow=$'\e[33m' red=$'\e[31m' plain=$'\e[0m'
}

# random_hex BYTES. Hex, so that a secret means the same in a URL, in SQL and in a shell.
random_hex() {
    REPLY=$(od -An -v -N "$1" -tx1 /dev/urandom | tr -d ' \n')
}

trim() {
    REPLY=${1#"${1%%[![:space:]]*}"}
    REPLY=${REPLY%"${REPLY##*[![:space:]]}"}
}

# --- settings -------------------------------------------------------------------------------

declare -A env_file=()

# A line of UTF-8, byte by byte.
utf8_line=$'^([\x01-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*$'

# Reads a `.env` without ever evaluating it: no substitution, no escapes, no inline comments. The
# services parse it by the same rules (crates/daemon/tests/env_cases.tsv). One that is not understood
# ends the script: what is read of it, or added to it, could mean something else to them.
load_env_file() {
    parse_env_file "$1" || die 78 "$1: $REPLY. Nothing was written to it."
}

# parse_env_file PATH: fills env_file, or fails and says in REPLY which line is not understood.
parse_env_file() {
    local line key text='' number=0
    env_file=()
    # It succeeds when it meets a zero byte.
    if IFS= read -r -d '' text <"$1" && [[ $text != $'\xff\xfe'* && $text != $'\xfe\xff'* ]]; then
        text=${text//[!$'\n']/}
        REPLY="line $((${#text} + 1)) has a zero byte, as UTF-16 has: save the file as text in UTF-8"
        return 1
    fi
    if [[ $text == $'\xff\xfe'* || $text == $'\xfe\xff'* ]]; then
        REPLY='line 1 begins as UTF-16 does: save the file as UTF-8'
        return 1
    fi
    while IFS= read -r line || [[ -n $line ]]; do
        # Editors on Windows put a byte order mark before the first key.
        ((number++)) || line=${line#$'\xef\xbb\xbf'}
        REPLY="line $number is not UTF-8: save the file as UTF-8"
        [[ $line != *[$'\x80'-$'\xff']* || $line =~ $utf8_line ]] || return 1
        trim "$line"
        line=$REPLY
        REPLY="line $number has a carriage return inside: end each line with a line feed"
        [[ $line != *$'\r'* ]] || return 1
        [[ -n $line && $line != '#'* ]] || continue
        [[ $line =~ ^export[[:space:]]+(.*)$ ]] && line=${BASH_REMATCH[1]}
        trim "${line%%=*}"
        key=$REPLY
        if ! [[ $line == *=* && $key =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then
            REPLY="line $number is no assignment: write NAME=value, with letters, digits and _ in the name"
            [[ ! $line =~ ^[A-Za-z_][A-Za-z0-9_]*[[:space:]]*: ]] ||
                REPLY="line $number has a colon for an equals sign: write NAME=value"
            return 1
        fi
        trim "${line#*=}"
        if ((${#REPLY} >= 2)) && [[ $REPLY == \"*\" || $REPLY == \'*\' ]]; then
            REPLY=${REPLY:1:${#REPLY}-2}
        fi
        env_file["$key"]=$REPLY
    done <"$1"
}

# setting NAME [DEFAULT]: the environment, then the file, then the default. Fails without any. Empty
# counts as not set, but an empty variable still hides the file's value, as it does for the services.
setting() {
    if [[ -n ${!1+x} ]]; then REPLY=${!1}; else REPLY=${env_file[$1]-}; fi
    [[ -z $REPLY ]] || return 0
    REPLY=${2-}
    (($# > 1))
}

# port_setting NAME DEFAULT
port_setting() {
    setting "$@"
    if ! [[ $REPLY =~ ^[1-9][0-9]{0,4}$ ]] || ((REPLY > 65535)); then
        die 78 "$1 must be a port from 1 to 65535. Set it in ${env_path:-.env} or the environment."
    fi
}

percent_decode() {
    local text=${1//\\/\\\\}
    printf -v REPLY '%b' "${text//%/\\x}"
}

# split_url NAME URL DEFAULT_PORT: into url_scheme, url_user, url_password (decoded), url_host, url_port,
# url_database, url_query and url_bare (the URL without its password, fit for a command line).
split_url() {
    local pattern='^([a-z]+)://(([^:@/]*)(:([^@]*))?@)?(\[[^]]+\]|[^]:/?@[]+)(:([0-9]+))?(/([^?]*))?(\?.*)?$'
    [[ $2 =~ $pattern ]] ||
        die 78 "$1 is not a URL such as scheme://user:password@host:$3/name (percent-encode @ : / in a password)."
    local part=("${BASH_REMATCH[@]}")
    # It would be on command lines, which others can read.
    [[ ${part[11]} != *[?\&]password=* ]] ||
        die 78 "$1 has a password after its question mark. Write it before the @, as in scheme://user:password@host:$3/name."
    # Client certificates and password files: the services know none of them, and psql would use them.
    [[ ! ${part[11]} =~ [?\&](sslpassword|sslkey|sslcert|passfile)= ]] ||
        die 78 "$1 has ${BASH_REMATCH[1]} after its question mark, which is not supported. Remove it; the password stands before the @."
    url_scheme=${part[1]}
    percent_decode "${part[3]}"
    url_user=$REPLY
    percent_decode "${part[5]}"
    url_password=$REPLY
    url_host=${part[6]#[}
    url_host=${url_host%]}
    url_port=${part[8]:-$3}
    percent_decode "${part[10]}"
    url_database=$REPLY
    url_query=${part[11]#\?}
    url_bare="${part[1]}://${part[3]:+${part[3]}@}${part[6]}:$url_port${part[9]}${part[11]}"
}

# authority HOST PORT: as it stands in a URL, where IPv6 needs brackets.
authority() {
    REPLY=$1:$2
    [[ $1 != *:* ]] || REPLY="[$1]:$2"
}

# --- ports and probes -----------------------------------------------------------------------

# Succeeds when something on this machine listens on the port; REPLY is its socket's inode.
port_taken() {
    local hex local_address state inode
    printf -v hex '%04X' "$1"
    while read -r _ local_address _ state _ _ _ _ _ inode _; do
        [[ $state == 0A && ${local_address##*:} == "$hex" ]] || continue
        REPLY=$inode
        return 0
    done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    return 1
}

# port_holder INODE: "postgres (pid 4711)", or how to find out where we may not look.
port_holder() {
    local link pid
    link=$(find /proc/[0-9]*/fd -lname "socket:\[$1\]" 2>/dev/null | head -n 1)
    pid=${link#/proc/}
    pid=${pid%%/*}
    REPLY='a process of another user (sudo ss -ltnp shows it)'
    [[ -n $pid && -r /proc/$pid/comm ]] && REPLY="$(</proc/"$pid"/comm) (pid $pid)"
}

# free_port FIRST: the first port from FIRST on that nobody listens on.
free_port() {
    local port
    for ((port = $1; port < 65536; port++)); do
        port_taken "$port" && continue
        REPLY=$port
        return 0
    done
    die 69 "no free port from $1 on."
}

accepts_tcp() {
    # A host that drops packets would block connect() for minutes.
    # shellcheck disable=SC2016
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' tcp "$1" "$2" 2>/dev/null
}

# http_status HOST PORT PATH: the status code in REPLY, 000 when nobody answers.
http_status() {
    authority "$1" "$2"
    local at=$REPLY
    # A subshell, because a peer that closes early would end us by SIGPIPE.
    REPLY=$(
        exec 2>/dev/null 3<>"/dev/tcp/$1/$2" || exit
        printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$3" "$at" >&3
        read -r -t 2 -u 3 _ code _ && printf '%s' "$code"
    )
    [[ $REPLY =~ ^[0-9]{3}$ ]] || REPLY=000
}

# --- processes ------------------------------------------------------------------------------

# When a process started, in clock ticks since boot: with its pid, its identity. Fails for a
# process that is gone or a zombie.
process_start() {
    local stat=''
    # read, not $(<...): that would fork, and this runs many times a second.
    { read -r -d '' stat </proc/"$1"/stat; } 2>/dev/null
    [[ -n $stat ]] || return 1
    # The name in the second field may hold anything, blanks and brackets included.
    local -a field
    read -r -a field <<<"${stat##*)}"
    [[ ${field[0]} != [ZX] ]] || return 1
    REPLY=${field[19]}
}

write_pid_file() {
    process_start "$2" || return 1
    printf '%s %s\n' "$2" "$REPLY" >"$1"
}

# The pid in REPLY when the process that wrote the file still lives. A recycled pid has another
# start time and does not count.
read_pid_file() {
    local pid start
    { read -r pid start <"$1"; } 2>/dev/null || return 1
    process_start "$pid" && [[ $REPLY == "$start" ]] || return 1
    REPLY=$pid
}

alive() { process_start "$1"; }

# A pause without a process: nothing ever arrives on this descriptor.
exec {never}<> <(:)
pause() { read -r -t "$1" -u "$never" || :; }

# spawn LOG COMMAND...: in a session of its own, so that a terminal's Ctrl-C reaches us alone and
# we stop it in order. The pid in REPLY. Descriptor 9 is run_system.sh's lock, which must not
# outlive it in a child.
spawn() {
    local log=$1
    shift
    setsid -- "$@" </dev/null >>"$log" 2>&1 9>&- {never}>&- &
    REPLY=$!
}

# stop_process PID SIGNAL SECONDS LAST_SIGNAL NAME: waits until it is gone.
stop_process() {
    local ticks=$(($3 * 20))
    kill -s "$2" "$1" 2>/dev/null
    while alive "$1"; do
        if ((ticks-- == 0)); then
            warn "$5 (pid $1) did not stop within $3 s, sending SIG$4."
            kill -s "$4" "$1" 2>/dev/null
            # Not even SIGKILL ends a process in uninterruptible sleep.
            ticks=200
            while alive "$1" && ((ticks-- > 0)); do pause 0.05; done
            return 1
        fi
        pause 0.05
    done
}
