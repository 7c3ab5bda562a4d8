# shellcheck shell=sh
# Shared by the scripts: sourced, not run.

cache_directory=${ELIVEPATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/elivepatch}

say() { printf '\n== %s\n' "$*" >&2; }

# fail MESSAGE HINT: ends the script as the programs end.
fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root: $*" "run make as root, or install sudo"
    fi
}

# use_cargo: finds cargo where rustup puts it, also when sudo hides it from the path.
use_cargo() {
    command -v cargo >/dev/null && return
    for user in "${SUDO_USER:-}" "$(id -un)"; do
        home=$(getent passwd "$user" | cut -d : -f 6)
        if [ -n "$user" ] && [ -x "$home/.cargo/bin/cargo" ]; then
            PATH=$home/.cargo/bin:$PATH
            CARGO_HOME=${CARGO_HOME:-$home/.cargo}
            RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
            export PATH CARGO_HOME RUSTUP_HOME
            return
        fi
    done
    fail "cargo is not here" "install Rust with rustup: https://rustup.rs"
}

# become_root SCRIPT ARGUMENT…: runs the script again as root, with this user's caches, unless it is
# root already. Making a toolchain root takes root, and the tests are about giving it up.
become_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || fail "this needs root" "run make as root, or install sudo"
    say "going on as root, through sudo"
    exec sudo env HOME="$HOME" PATH="$PATH" CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" \
        RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-}" \
        ELIVEPATCH_CACHE="$cache_directory" KERNEL="${KERNEL:-}" "$@"
}

# packages_missing NAME…: those that are not installed.
packages_missing() {
    for package in "$@"; do
        case $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) in
            installed) ;;
            *) printf '%s ' "$package" ;;
        esac
    done
}

# install_packages NAME…: installs what is missing.
install_packages() {
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    say "installing $missing"
    as_root apt-get update --quiet
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install --quiet --yes --no-install-recommends $missing
}

# fetch_package NAME VERSION: the path of the package's file, in the cache, with the digest that
# the archive's signed index says.
fetch_package() {
    index=$(apt-cache show "$1=$2" 2>/dev/null) ||
        { as_root apt-get update --quiet >&2; index=$(apt-cache show "$1=$2"); } ||
        fail "Debian's archive has no $1 $2" "this demonstration needs Debian 12 with its security updates"
    digest=$(printf '%s\n' "$index" | sed -n 's/^SHA256: //p' | head -n 1)
    name=$(printf '%s\n' "$index" | sed -n 's,^Filename: .*/,,p' | head -n 1)
    mkdir -p "$cache_directory/packages"
    file=$cache_directory/packages/$name
    if ! printf '%s  %s\n' "$digest" "$file" | sha256sum --check --status 2>/dev/null; then
        say "fetching $1 $2"
        staging=$(mktemp -d "$cache_directory/packages/fetch.XXXXXX")
        (cd "$staging" && apt-get download --quiet -o APT::Sandbox::User=root "$1=$2" >&2) ||
            { rm -rf "$staging"; fail "cannot fetch $1 $2" "check the network and the mirror of apt"; }
        printf '%s  %s\n' "$digest" "$staging/$name" | sha256sum --check --status ||
            { rm -rf "$staging"; fail "$1 $2 has a wrong digest" "the mirror of apt is faulty"; }
        mv "$staging/$name" "$file"
        rm -rf "$staging"
    fi
    printf '%s\n' "$file"
}

# member PACKAGEFILE PATH TO: one file of a package, in the cache when it is complete.
member() {
    [ ! -s "$3" ] || return 0
    say "unpacking ${2##*/}"
    mkdir -p "${3%/*}"
    dpkg-deb --fsys-tarfile "$1" | tar --extract --to-stdout "./$2" > "$3.partial"
    mv "$3.partial" "$3"
}

# debian_root ARCHIVE.tar PACKAGE,… OPTION…: a small Debian of this machine's own release with these packages, from
# the archive that this machine uses. The options are mmdebstrap's.
debian_root() {
    archive=$1
    packages=$2
    shift 2
    command -v mmdebstrap >/dev/null || fail "mmdebstrap is not here" "apt-get install mmdebstrap"
    settings=$(mktemp -d)
    # How packages are fetched here: proxies and the like. mmdebstrap's apt has no other settings of this machine.
    apt-config dump | grep '^Acquire::' | grep -v -e '^Acquire::Languages' -e CompressionTypes > "$settings/acquire"
    # Debian's own archive only: both forms that apt reads.
    : > "$settings/sources"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$file" ] || ! grep -q -i debian "$file" || { cat "$file"; echo; } >> "$settings/sources"
    done
    mkdir -p "${archive%/*}"
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    status=0
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --aptopt="$settings/acquire" --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' "$@" \
        "$codename" "$archive.partial.tar" - < "$settings/sources" || status=$?
    rm -rf "$settings"
    [ "$status" -eq 0 ] || fail "mmdebstrap could not make a system" "is the archive reachable? apt update"
    mv "$archive.partial.tar" "$archive"
}

# cargo_program NAME VERSION OPTION…: the path of a program of crates.io, which is compiled once into the cache. The
# options are those of cargo install.
cargo_program() {
    name=$1
    version=$2
    shift 2
    place=$cache_directory/tools/$name-$version
    if [ ! -x "$place/bin/$name" ]; then
        say "installing $name $version from crates.io; it takes some minutes, once"
        env -u RUSTC_WRAPPER -u RUSTFLAGS CARGO_TARGET_DIR="$place.build" \
            cargo install --locked --root "$place" "$@" "$name@$version" >&2 ||
            fail "$name could not be installed" "is crates.io reachable?"
        rm -rf "$place.build"
    fi
    printf '%s\n' "$place/bin/$name"
}

# python_environment NAME VERSION REQUIREMENT…: the directory of a Python environment with this package of PyPI, and
# with what else it is to be made with. It is made once, in the cache.
python_environment() {
    name=$1
    version=$2
    shift 2
    environment=$cache_directory/tools/$name-$version
    if [ ! -d "$environment" ]; then
        say "installing $name $version from PyPI"
        command -v python3 >/dev/null || fail "python3 is not here" "apt-get install python3 python3-venv"
        mkdir -p "$cache_directory/tools"
        staging=$(mktemp -d "$environment.XXXXXX")
        python3 -m venv "$staging" >&2 || {
            rm -rf "$staging"
            fail "python3 cannot make an environment" "apt-get install python3-venv"
        }
        "$staging/bin/pip" install --quiet "$name==$version" "$@" >&2 || {
            rm -rf "$staging"
            fail "$name could not be installed" "is PyPI reachable? Look at: pip config list"
        }
        # The programs of an environment name it by its path: it is moved by making it again in its place.
        python3 -m venv --upgrade "$staging" >&2
        grep -l -I -F "$staging" "$staging"/bin/* | xargs -r sed -i "s,$staging,$environment,"
        # Of two that do this at the same time, one is enough.
        mv -T "$staging" "$environment" 2>/dev/null || rm -rf "$staging"
    fi
    printf '%s\n' "$environment"
}

# workspace_version: the version in Cargo.toml, which all programs have.
workspace_version() {
    sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml
}

# static_client PROFILE: builds the client as one file that needs no library, and prints its path.
static_client() {
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --profile "$1" \
        --target x86_64-unknown-linux-gnu --package elivepatch --bin elivepatch || return 1
    directory=$1
    [ "$1" != dev ] || directory=debug
    echo "${CARGO_TARGET_DIR:-$PWD/target}/x86_64-unknown-linux-gnu/$directory/elivepatch"
}

# documents PROGRAM DIRECTORY: what the program tells of itself, as packages take it: the manual's pages below man, and
# completions below completions, each under the name that its shell looks for.
documents() {
    name=${1##*/}
    "$1" man --output "$2/man" || fail "$1 does not run" "was it built for this machine?"
    for shell in bash zsh fish; do
        mkdir -p "$2/completions/$shell"
    done
    "$1" completions bash > "$2/completions/bash/$name"
    "$1" completions zsh > "$2/completions/zsh/_$name"
    "$1" completions fish > "$2/completions/fish/$name.fish"
}
