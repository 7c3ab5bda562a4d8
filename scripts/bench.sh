#!/bin/sh
# Measures elivepatch on Debian's stock kernel: a real server on the loopback interface, and beside
# it the same work by hand. Takes about four minutes; the first time longer, for it fetches and
# prepares what the demonstration uses.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
use_cargo

release=6.1.0-50-cloud-amd64
version=6.1.176-1
output=$PWD/target/bench

say "compiling the measuring program"
cargo build --release --locked --package elivepatch-bench

become_root scripts/bench.sh
mkdir -p "$output"
say "the config of Debian's stock kernel $release"
image=$(fetch_package "linux-image-$release" "$version")
dpkg-deb --fsys-tarfile "$image" | tar --extract --to-stdout "./boot/config-$release" \
    > "$output/config-$release"

say "measuring on $(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg): builds on a prepared base, a build
   without one, both by hand, reading vmlinux, the server under uploads"
exec target/release/elivepatch-bench run --server target/release/elivepatch-server \
    --cache "$cache_directory" --release "$release" --config "$output/config-$release" \
    --patch demo/meminfo-label.patch --output "$output"
