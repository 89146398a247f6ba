# shellcheck shell=bash
# run_arenactl COMMAND [ARGUMENT]...: becomes arenactl, from any working directory. Sourced.

run_arenactl() {
    local root candidate newest='' target=${CARGO_TARGET_DIR-}
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    # Whose settings: this checkout's, wherever the program was built.
    export ARENA_HOME=${ARENA_HOME:-$root}
    if [[ -n ${ARENA_BIN_DIR-} ]]; then
        exec "$ARENA_BIN_DIR/arenactl" "$@"
    fi
    # A target directory may also be set in cargo's own configuration: cargo knows.
    if [[ -z $target ]] && command -v cargo >/dev/null; then
        target=$(cargo metadata --no-deps --offline --format-version 1 \
            --manifest-path "$root/Cargo.toml" 2>/dev/null |
            sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    fi
    # Cargo takes a relative target directory from where it runs, which is always the workspace.
    target=${target:-target}
    [[ $target == /* ]] || target=$root/$target
    for candidate in "$target"/{release,debug}/arenactl; do
        [[ -x $candidate && (-z $newest || $candidate -nt $newest) ]] && newest=$candidate
    done
    [[ -z $newest ]] || exec "$newest" "$@"
    echo "building arenactl; this takes some minutes, once" >&2
    # --manifest-path, not cd: a relative path among the arguments is the caller's.
    CARGO_TARGET_DIR=$target exec cargo run --quiet --release --locked \
        --manifest-path "$root/Cargo.toml" -p arenactl -- "$@"
}
