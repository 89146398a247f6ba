# shellcheck shell=bash
# run_arenactl COMMAND [ARGUMENT]...: becomes arenactl, from any working directory, and never builds it.
# Sourced.

run_arenactl() {
    local root candidate newest='' target=${CARGO_TARGET_DIR-}
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    # Whose settings: this checkout's, wherever the program was built.
    export ARENA_HOME=${ARENA_HOME:-$root}
    if [[ -n ${ARENA_BIN_DIR-} ]]; then
        [[ ! -x $ARENA_BIN_DIR/arenactl ]] || exec "$ARENA_BIN_DIR/arenactl" "$@"
        echo "${0##*/}: ARENA_BIN_DIR ($ARENA_BIN_DIR) lacks arenactl." >&2
        exit 78
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
    for candidate in "$target"/{release,dist,debug}/arenactl; do
        [[ -x $candidate && (-z $newest || $candidate -nt $newest) ]] && newest=$candidate
    done
    [[ -z $newest ]] || exec "$newest" "$@"
    {
        echo "${0##*/}: arenactl is not built yet. This builds it, in some minutes:"
        echo "  cargo build --release --locked -p arenactl --manifest-path '$root/Cargo.toml'"
        echo "./run_system.sh builds it, too; ARENA_BIN_DIR names built programs."
    } >&2
    exit 69
}
