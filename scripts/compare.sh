#!/bin/sh
# Builds the same patches by kpatch-build and by elivepatch on a kernel that is built from Debian's
# source, and compares the modules: replaced functions, livepatch symbols, relocations. Takes half an
# hour on two cores: kpatch-build compiles the kernel. The first time both compile it.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
use_cargo

say "compiling the comparing program"
cargo build --release --locked --package elivepatch-bench

become_root scripts/compare.sh
mkdir -p target/bench
exec target/release/elivepatch-bench compare --cache "$cache_directory" \
    --kernels end-to-end/kernels --patches bench/compare --output target/bench
