#!/bin/sh
# Measures elivepatch: a real server on Debian's stock kernel (build.json), then the engines on kernels
# that are built from source (engines.json), each beside the same work done by other means.
#
# usage: scripts/bench.sh [build|engines|sources|cve|host]
#   build     only the first part: five minutes
#   engines   only the second: half an hour, and as much again the first time, for two kernels are
#             built, one of them again by kpatch-build
#   sources   only the third, what it costs to prove that a base fits: ten minutes (sources.json)
#   cve       only the fourth, reading the CVE feed that ELIVEPATCH_TEST_CVE_FEED names, and with
#             ELIVEPATCH_TEST_FIXES one livepatch of all fixes in that directory: 20 minutes (cve.json)
#   host      only the client on a machine that is patched, in a virtual machine: ten minutes (host.json)
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
use_cargo

part=${1:-all}
case $part in
    all | build | engines | sources | cve | host) ;;
    *) sed -n 's/^# \{0,1\}//; 5,12p' "$0" >&2; exit 2 ;;
esac
release=6.1.0-50-cloud-amd64
version=6.1.176-1
output=$PWD/target/bench

say "compiling the measuring program"
cargo build --release --locked --package elivepatch-bench

become_root scripts/bench.sh "$part"
mkdir -p "$output"
# From here on, the files of this run's figures.
set --
on_cores="on $(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg)"

if [ "$part" = all ] || [ "$part" = build ]; then
    say "the config of Debian's stock kernel $release"
    image=$(fetch_package "linux-image-$release" "$version")
    dpkg-deb --fsys-tarfile "$image" | tar --extract --to-stdout "./boot/config-$release" \
        > "$output/config-$release"
    # Before anything of this run is removed: ext4 takes its time with new files while the inodes of
    # those that went are less than five minutes old, twice as long for a base with its 80,000 files.
    say "measuring $on_cores: making a base ready, and its size"
    target/release/elivepatch-bench base --cache "$cache_directory" --release "$release" \
        --config "$output/config-$release" --output "$output"
    say "measuring $on_cores: builds on a prepared base, a build without one, both by hand, reading
   vmlinux, the server under uploads"
    target/release/elivepatch-bench run --server target/release/elivepatch-server \
        --cache "$cache_directory" --release "$release" --config "$output/config-$release" \
        --patch demo/meminfo-label.patch --output "$output"
    set -- "$output/build.json" "$output/sources.json"
fi

if [ "$part" = all ] || [ "$part" = engines ]; then
    say "measuring $on_cores: both engines on kernels that are built from source, and kpatch-build"
    target/release/elivepatch-bench engines --cache "$cache_directory" \
        --kernels end-to-end/kernels --output "$output"
    set -- "$@" "$output/engines.json"
fi

if [ "$part" = all ] || [ "$part" = sources ]; then
    say "measuring $on_cores: comparing objects of a stock kernel with its own code"
    target/release/elivepatch-bench sources --cache "$cache_directory" --release "$release" \
        --output "$output"
    # The first part has put it there already.
    [ "$part" = all ] || set -- "$output/sources.json"
fi

if [ "$part" = cve ] || { [ "$part" = all ] && [ -n "${ELIVEPATCH_TEST_CVE_FEED:-}" ]; }; then
    [ -n "${ELIVEPATCH_TEST_CVE_FEED:-}" ] || fail "no CVE feed is named" \
        "set ELIVEPATCH_TEST_CVE_FEED to a directory or tarball of it"
    say "measuring $on_cores: the CVE feed $ELIVEPATCH_TEST_CVE_FEED"
    if [ -n "${ELIVEPATCH_TEST_FIXES:-}" ]; then
        target/release/elivepatch-bench cve --feed "$ELIVEPATCH_TEST_CVE_FEED" \
            --cache "$cache_directory" --release "$release" --output "$output" \
            --server target/release/elivepatch-server --fixes "$ELIVEPATCH_TEST_FIXES"
    else
        say "LEFT OUT: one livepatch of all fixes, because ELIVEPATCH_TEST_FIXES names none"
        target/release/elivepatch-bench cve --feed "$ELIVEPATCH_TEST_CVE_FEED" \
            --cache "$cache_directory" --release "$release" --output "$output"
    fi
    set -- "$@" "$output/cve.json"
fi

if [ "$part" = all ] || [ "$part" = host ]; then
    material=$cache_directory/test/$release-$version
    image=$(fetch_package "linux-image-$release" "$version")
    member "$image" "boot/vmlinuz-$release" "$material/vmlinuz-$release"
    say "the client as it is passed on: one static file, stripped"
    client=$(static_client client)
    strip -o "$output/elivepatch" "$client"
    say "measuring $on_cores: loading a livepatch, and looking at the machine, in a guest"
    ELIVEPATCH_TEST_PROGRAMS=$PWD/target/release ELIVEPATCH_TEST_CACHE=$cache_directory \
        ELIVEPATCH_TEST_KERNEL=$material/vmlinuz-$release \
        ELIVEPATCH_TEST_STATIC_CLIENT=$output/elivepatch \
        target/release/elivepatch-bench host --client "$output/elivepatch" --output "$output"
    set -- "$@" "$output/host.json"
fi

# A target that is missed is for people to judge: other work on the machine slows everything down.
target/release/elivepatch-bench missed "$@"
