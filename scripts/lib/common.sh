# shellcheck shell=bash
# Functions for every script here. Sourced, never run. Functions that return one value leave it in REPLY. A
# script that sources this sets LC_ALL=C first: letters, digits and messages follow the locale.

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
# die CODE MESSAGE: 78 for configuration, 69 for a dependency that cannot be had, 1 for the rest.
die() {
    local code=$1
    shift
    warn "$*"
    exit "$code"
}

# cargo from where rustup puts it; PATH may lack that.
find_cargo() {
    local home=${HOME-}
    [[ -n $home ]] || home=$(getent passwd "$EUID" | cut -d : -f 6)
    command -v cargo >/dev/null || PATH="$home/.cargo/bin:$PATH"
    command -v cargo >/dev/null
}

# target_directory ROOT: where cargo builds. It may be set in cargo's own configuration, which cargo knows; it
# takes a relative one from where it runs, which is always the workspace.
target_directory() {
    REPLY=${CARGO_TARGET_DIR-}
    if [[ -z $REPLY ]] && find_cargo; then
        REPLY=$(cargo metadata --no-deps --offline --format-version 1 --manifest-path "$1/Cargo.toml" 2>/dev/null |
            sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p') || REPLY=''
    fi
    REPLY=${REPLY:-target}
    [[ $REPLY == /* ]] || REPLY=$1/$REPLY
}

# find_arenactl ROOT: in REPLY the arenactl that was given, or else was built last. Never builds it.
find_arenactl() {
    local candidate newest='' profile=${ARENA_PROFILE:-quick}
    if [[ -n ${ARENA_BIN_DIR-} ]]; then
        REPLY=$ARENA_BIN_DIR/arenactl
        [[ -x $REPLY ]]
        return
    fi
    target_directory "$1"
    for candidate in "$REPLY"/{quick,release,debug,dist,"$profile"}/arenactl; do
        [[ -x $candidate && (-z $newest || $candidate -nt $newest) ]] && newest=$candidate
    done
    REPLY=$newest
    [[ -n $newest ]]
}

# Leaves in REPLY the directory of the programs that a test runs: ARENA_BIN_DIR, else built now. With examples,
# so that cargo chooses the features that the tests have too, and builds no dependency twice.
built_programs() {
    if [[ -n ${ARENA_BIN_DIR-} ]]; then
        REPLY=$(realpath -ms "$ARENA_BIN_DIR")
        return
    fi
    find_cargo || die 69 "cargo is missing. Install Rust from https://rustup.rs."
    cargo build --locked --workspace --bins --examples || die 1 "the arena does not build"
    target_directory "$PWD"
    REPLY+=/debug
}
