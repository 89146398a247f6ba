# shellcheck shell=bash
# What the scripts of the web page share. Sourced after common.sh, in the repository's root.
# shellcheck disable=SC2034 # what is set here is used by who sources it

web=crates/api/web
window_tools=$(realpath -ms "${CARGO_TARGET_DIR:-target}")/window-tools

# Whether node is there and new enough; else says that WHAT is skipped.
has_node() {
    local version
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        say "skipped: node and npm are not installed, so $1 (apt-get install nodejs npm)"
        return 1
    fi
    version=$(node -p 'process.versions.node.split(".")[0]')
    ((version >= 18)) && return
    say "skipped: node is older than 18, so $1"
    return 1
}

# The packages of package-lock.json, under target/: nothing of them is ever served.
install_window_tools() {
    cmp -s "$web/package-lock.json" "$window_tools/installed" && return
    rm -rf "$window_tools"
    mkdir -p "$window_tools" && cp "$web/package.json" "$web/package-lock.json" "$window_tools/" || return 1
    (cd "$window_tools" && npm ci --ignore-scripts --no-audit --no-fund --silent) ||
        die 69 "the packages of $web/package-lock.json cannot be installed from npm's registry"
    cp "$web/package-lock.json" "$window_tools/installed"
}
