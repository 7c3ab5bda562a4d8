#!/bin/sh
# Builds the livepatches that the tests of the trial load (crates/builder/tests/trial-modules).
#
# usage: scripts/build-trial-modules.sh OUTDIR HEADERSDIR
#   OUTDIR      gets the .ko files
#   HEADERSDIR  a tree that modules can be built in, such as /usr/src/linux-headers-RELEASE
set -eu

if [ $# -ne 2 ]; then
    sed -n 's/^# \{0,1\}//; 4,6p' "$0" >&2
    exit 2
fi
output=$1
headers=$2
sources=$(cd "$(dirname "$0")/../crates/builder/tests/trial-modules" && pwd)

if [ ! -f "$headers/Makefile" ]; then
    echo "error: $headers is not a kernel build tree: it has no Makefile" >&2
    echo "hint: apt-get install linux-headers-RELEASE, then give /usr/src/linux-headers-RELEASE" >&2
    exit 1
fi
mkdir -p "$output"
headers=$(cd "$headers" && pwd)

# Kbuild writes beside the sources: build a copy, so that the repository stays clean.
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cp "$sources"/Kbuild "$sources"/*.[ch] "$build"
make -s -C "$headers" M="$build" modules >&2
cp "$build"/*.ko "$output"
ls "$output"/*.ko
