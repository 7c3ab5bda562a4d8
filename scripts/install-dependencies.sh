#!/bin/sh
# Installs what elivepatch is built with and what it runs, with apt. Says nothing when all is there.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

command -v apt-get >/dev/null ||
    fail "apt-get is not here" "make build, demo and test install what they need with apt, on Debian; docs/install.md has what to do elsewhere"

# A C compiler for crates that hold C; then what the server runs: the archive (apt, curl, keys), feeds,
# fixes and sources that are repositories (git), toolchain roots (mmdebstrap, dpkg), the sandbox
# (bubblewrap, util-linux), trials (QEMU), signatures of modules (openssl); and what only tests use: a
# browser for what is written as HTML, a token for keys, the program that manifests are verified with by
# hand, and readers of the manual and shells for completions.
install_packages \
    ca-certificates gcc libc6-dev make pkg-config \
    curl debian-archive-keyring git mmdebstrap xz-utils zstd \
    bubblewrap util-linux \
    qemu-system-x86 busybox-static \
    openssl \
    chromium softhsm2 libengine-pkcs11-openssl minisign \
    man-db mandoc bash zsh fish

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
use_cargo
found=$(cargo --version | cut -d ' ' -f 2)
lowest=$(printf '%s\n%s\n' "$wanted" "$found" | sort --version-sort | head -n 1)
[ "$lowest" = "$wanted" ] ||
    fail "cargo is $found, and elivepatch needs $wanted or later" "rustup update stable"
