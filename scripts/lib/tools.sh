# shellcheck shell=bash
# Programs of others that checks use, installed under target/ from PyPI and npm's registry, and the web page's
# directories. Sourced after common.sh, in the repository's root.
# shellcheck disable=SC2034 # what is set here is used by who sources it

target_directory "$PWD"
target=$REPLY
web=crates/api/web
web_tools=$target/web-tools
result=0
# failed MESSAGE...: what else is wrong is still looked for.
failed() {
    warn "$*"
    result=1
}

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

# install_node_tools FROM TO: the packages of FROM's lock file, in TO.
install_node_tools() {
    cmp -s "$1/package-lock.json" "$2/installed" && return
    rm -rf "$2"
    mkdir -p "$2" && cp "$1/package.json" "$1/package-lock.json" "$2/" || return 1
    (cd "$2" && npm ci --ignore-scripts --no-audit --no-fund --silent) || return 1
    cp "$1/package-lock.json" "$2/installed"
}

# install_python_tools REQUIREMENTS TO: these programs, in TO/bin.
install_python_tools() {
    cmp -s "$1" "$2/installed" && return
    rm -rf "$2"
    { python3 -m venv "$2" && "$2/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$1"; } || return 1
    cp "$1" "$2/installed"
}

# For the web page's tests and types: nothing of it is ever served.
install_web_tools() {
    install_node_tools "$web" "$web_tools" ||
        die 69 "the packages of $web/package-lock.json cannot be installed from npm's registry"
}
