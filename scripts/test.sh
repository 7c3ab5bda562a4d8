#!/bin/sh
# All tests, those on a real kernel among them.
#
# usage: scripts/test.sh [--full]
#   --full   adds what takes long: kernels that are built whole, builds without overlay, and a build
#            in an empty cache
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
use_cargo
[ "$(id -u)" -eq 0 ] || CARGO_TARGET_DIR=$PWD/target/as-root
become_root scripts/test.sh "$@"

release=6.1.0-50-cloud-amd64
version=6.1.176-1
full=no
case ${1:-} in
    '') ;;
    --full) full=yes ;;
    *) sed -n 's/^# \{0,1\}//; 4,6p' "$0" >&2; exit 2 ;;
esac
began=$(date +%s)
material=$cache_directory/test/$release-$version

# The modules that the tests of the trial load, made once for each state of their sources.
trial_modules() {
    sources=crates/builder/tests/trial-modules
    digest=$(cat "$sources"/* scripts/build-trial-modules.sh | sha256sum | cut -c 1-12)
    modules=$material/trial-modules-$digest
    if [ ! -d "$modules" ]; then
        headers=/usr/src/linux-headers-$release
        [ -e "$headers/Makefile" ] || install_packages "linux-headers-$release" gcc-12 || true
        # A kernel that has left the archive: the base of an earlier build can do the same.
        [ -e "$headers/Makefile" ] || headers=$(echo "$cache_directory/bases/$release"-*/tree)
        [ -e "$headers/Makefile" ] ||
            fail "there is nothing to build modules for $release with" "make demo, then make test"
        say "building the modules for the tests of the trial"
        rm -rf "$modules.partial"
        scripts/build-trial-modules.sh "$modules.partial" "$headers" >&2
        mv "$modules.partial" "$modules"
    fi
}

# run_tests ARGUMENT…: the tests of some packages, with nextest where it is installed.
run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked "$@"
    else
        cargo test --locked --no-fail-fast "$@"
    fi
}

# run_one_test NAME: one of the end-to-end tests.
run_one_test() {
    run_tests --package elivepatch-end-to-end --test livepatch "$1"
}

# What the tests run themselves: archives signed by keys of their own, images, patch, perl, python with the library of
# the first elivepatch's client, and what the documentation shows beside the two programs.
install_packages gnupg diffutils patch python3-minimal python3-requests skopeo umoci e2fsprogs sqlite3

# What tests left behind that were killed themselves.
find "$cache_directory/test/servers" -mindepth 1 -maxdepth 1 -mmin +60 -exec rm -rf {} + \
    2>/dev/null || true

say "the kernel's packages, in $cache_directory"
image=$(fetch_package "linux-image-$release" "$version")
debug=$(fetch_package "linux-image-$release-dbg" "$version")
member "$image" "boot/vmlinuz-$release" "$material/vmlinuz-$release"
member "$image" "boot/config-$release" "$material/config-$release"
member "$debug" "usr/lib/debug/boot/vmlinux-$release" "$material/vmlinux-$release"
trial_modules

say "building the programs and the tests"
cargo build --locked --bin elivepatch --bin elivepatch-server
# What runs on machines that are patched: one file that needs no library.
ELIVEPATCH_TEST_STATIC_CLIENT=$(static_client dev)
export ELIVEPATCH_TEST_STATIC_CLIENT
ELIVEPATCH_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/debug
ELIVEPATCH_TEST_CACHE=$cache_directory
ELIVEPATCH_TEST_KERNEL=$material/vmlinuz-$release
ELIVEPATCH_TEST_MODULES=$modules
ELIVEPATCH_TEST_VMLINUX=$material/vmlinux-$release
export ELIVEPATCH_TEST_PROGRAMS ELIVEPATCH_TEST_CACHE ELIVEPATCH_TEST_KERNEL
export ELIVEPATCH_TEST_MODULES ELIVEPATCH_TEST_VMLINUX

# fit_table CACHE OBJECTS RELEASE…: whether what is compiled equals the stock kernels' own code.
fit_table() {
    place=$(mktemp -d "$cache_directory/test/servers/fit.XXXXXX")
    fit_result=0
    cargo run --locked --quiet $fit_profile --package elivepatch-builder --example fit_table -- \
        "$1" "$place" "$2" "$3" || fit_result=$?
    rm -rf "$place"
    return "$fit_result"
}

say "12 objects of $release, compiled and compared with the kernel's own code"
fit_profile=
mkdir -p "$cache_directory/test/servers"
fit_table "$cache_directory" 12 "$release"

say "all tests; those on a real kernel take some minutes"
run_tests --workspace
cargo test --quiet --doc --workspace --locked
say "what the documentation shows and no test runs"
cargo test --quiet --locked --package elivepatch-docs --test documentation -- --nocapture every_block
if [ -n "${ELIVEPATCH_TEST_CVE_FEED:-}" ]; then
    say "every record of the CVE feed $ELIVEPATCH_TEST_CVE_FEED"
    cargo test --quiet --locked --package elivepatch-cve --test whole_feed -- --ignored
    cargo test --quiet --locked --package elivepatch-end-to-end --test cve -- --ignored
else
    say "SKIPPED: every record of the CVE feed, because ELIVEPATCH_TEST_CVE_FEED names none"
fi
if [ -n "${ELIVEPATCH_TEST_FIXES:-}" ]; then
    say "every fix in the directory $ELIVEPATCH_TEST_FIXES"
    cargo test --quiet --locked --package elivepatch-server --lib every_fix -- --ignored
else
    say "SKIPPED: every fix of a real directory, because ELIVEPATCH_TEST_FIXES names none"
fi

if [ "$full" = yes ]; then
    say "kernels that the server builds itself, by gcc and by clang, from the source of Debian 13's
   6.12"
    ELIVEPATCH_TEST_SOURCE_6_12=$cache_directory/test/linux-source-6.12.117-1.tar.xz
    export ELIVEPATCH_TEST_SOURCE_6_12
    [ -s "$ELIVEPATCH_TEST_SOURCE_6_12" ] ||
        cargo run --locked --quiet --package elivepatch-builder --example source_tarball -- \
            "$cache_directory" linux-source-6.12 6.12.117-1 "$ELIVEPATCH_TEST_SOURCE_6_12"
    # One after the other: each takes all cores.
    cargo test --locked --package elivepatch-end-to-end --test built --test clang --test host_kernels \
        --test signed -- --ignored --test-threads=1
    say "the documentation's commands, from its text"
    cargo test --locked --package elivepatch-end-to-end --test docs -- --ignored --nocapture \
        --test-threads=1
    scripts/book.sh
    say "the agent and the boot service under a real systemd and a real OpenRC"
    ELIVEPATCH_TEST_SYSTEMD_ROOT=$cache_directory/test/systemd-root.tar
    export ELIVEPATCH_TEST_SYSTEMD_ROOT
    ELIVEPATCH_TEST_OPENRC_ROOT=$cache_directory/test/openrc-root.tar
    export ELIVEPATCH_TEST_OPENRC_ROOT
    [ -s "$ELIVEPATCH_TEST_SYSTEMD_ROOT" ] ||
        scripts/make-system-root.sh systemd "$ELIVEPATCH_TEST_SYSTEMD_ROOT"
    [ -s "$ELIVEPATCH_TEST_OPENRC_ROOT" ] ||
        scripts/make-system-root.sh openrc "$ELIVEPATCH_TEST_OPENRC_ROOT"
    cargo test --locked --package elivepatch-end-to-end --test systemd --test openrc -- --ignored \
        --test-threads=1
    say "both engines on a kernel that the server builds, from the source of Debian backports' 7.3"
    version_7_3=7.3.4-1~bpo13+1
    ELIVEPATCH_TEST_SOURCE_7_3=$cache_directory/test/sources/linux-source-7.3_$version_7_3.tar.xz
    export ELIVEPATCH_TEST_SOURCE_7_3
    mkdir -p "$cache_directory/test/sources"
    [ -s "$ELIVEPATCH_TEST_SOURCE_7_3" ] ||
        cargo run --locked --quiet --package elivepatch-builder --example source_tarball -- \
            "$cache_directory" linux-source-7.3 "$version_7_3" "$ELIVEPATCH_TEST_SOURCE_7_3"
    cargo test --locked --package elivepatch-end-to-end --test engines -- --ignored --test-threads=1
    say "every stock kernel of the archive is found"
    cargo test --locked --package elivepatch-builder --lib -- --ignored every_stock_kernel
    say "the toolchain roots that no other test makes"
    for recipe in debian-12-gcc-11 debian-13-gcc-12 debian-13-gcc-13; do
        "$ELIVEPATCH_TEST_PROGRAMS/elivepatch-server" toolchain create "$recipe" \
            --cache-directory "$cache_directory"
        "$ELIVEPATCH_TEST_PROGRAMS/elivepatch-server" toolchain verify "$recipe" \
            --cache-directory "$cache_directory"
    done
    say "toolchain roots from a tarball and from an OCI image, and a livepatch with each; a root of
   a user without root's rights"
    cargo test --locked --package elivepatch-end-to-end --test toolchains -- --ignored \
        --test-threads=1
    visible=visible_patch_becomes_a_livepatch_and_equal_requests_share_it
    say "the other stock kernels of Debian 13 and its backports"
    ELIVEPATCH_TEST_ALL_STOCK_KERNELS=1 run_tests --package elivepatch-end-to-end \
        --test stock --test newer_kernels
    say "a build on copies of the base, as where no overlay is allowed"
    ELIVEPATCH_TEST_NO_OVERLAY=1 run_one_test $visible
    say "a build in an empty cache"
    cold=$(mktemp -d "$cache_directory/test/cold.XXXXXX")
    trap 'rm -rf "$cold"' EXIT
    mkdir -p "$cold/test/$release-$version"
    cp "$material/config-$release" "$cold/test/$release-$version"
    ELIVEPATCH_TEST_CACHE=$cold run_one_test $visible
    say "the same livepatch from this cache and from that one"
    ELIVEPATCH_TEST_OTHER_CACHE=$cold cargo test --locked --package elivepatch-end-to-end \
        --test livepatch -- --ignored livepatch_is_rebuilt_to_the_same_bytes_from_another_cache
fi

# Each base and its packages take 2.5 GB (a full amd64 flavour 5 GB), so one is there at a time.
if [ "$full" = yes ]; then
    say "300 objects of each of Debian 12's kernels, and some of other kinds, compared with the
   kernels' own code"
    fit_profile=--release
    fit_cache=$(mktemp -d "$cache_directory/test/fit.XXXXXX")
    trap 'rm -rf "$fit_cache" ${cold:+"$cold"}' EXIT
    ln -s "$cache_directory/toolchain-roots" "$fit_cache/toolchain-roots"
    fit_failed=
    table=target/fit-table.md
    : > "$table"
    # Of the other kinds of kernels that the archive has a sample each, KERNEL/OBJECTS.
    for kernel in 6.1.0-47-cloud-amd64 6.1.0-50-cloud-amd64 6.1.0-53-cloud-amd64 \
        6.1.0-54-cloud-amd64 6.1.0-55-cloud-amd64 6.1.0-56-cloud-amd64 6.1.0-56-amd64 \
        6.1.0-50-rt-amd64/24 6.12.107+deb12-cloud-amd64/24 6.12.107+deb13-rt-amd64/24 \
        6.12.117+deb13-amd64/24; do
        objects=300
        case $kernel in */*) objects=${kernel#*/} kernel=${kernel%/*} ;; esac
        rows=$(fit_table "$fit_cache" "$objects" "$kernel") || fit_failed="$fit_failed $kernel"
        [ -s "$table" ] || echo "$rows" | head -n 2 >> "$table"
        echo "$rows" | tail -n +3 >> "$table"
        rm -rf "$fit_cache/bases" "$fit_cache/packages"
    done
    cat "$table"
    [ -z "$fit_failed" ] || fail "not proven:$fit_failed" "the messages above say what differs"
fi

if [ "$full" = yes ]; then
    say "make build client, as the documentation has it"
    make --no-print-directory build client
    for program in "${CARGO_TARGET_DIR:-target}/release/elivepatch" "${CARGO_TARGET_DIR:-target}/release/elivepatch-server" \
        target/client/elivepatch; do
        "$program" --version
    done
    [ -s target/client/elivepatch.debug ] ||
        fail "the client's debug information is not beside it" "look at client in the Makefile"
    for kernel in '' debian-13 debian-13-backports; do
        say "make demo${kernel:+ KERNEL=$kernel}"
        make --no-print-directory demo KERNEL="$kernel"
    done
    say "the units, the overlay and the packages"
    scripts/check-units.sh
    scripts/check-openrc.sh "$ELIVEPATCH_TEST_PROGRAMS/elivepatch-server"
    scripts/check-gentoo.sh "$ELIVEPATCH_TEST_PROGRAMS"
    scripts/packages.sh
    scripts/test-packages.sh
    say "the container image, by both of its makers"
    scripts/test-images.sh --with buildah
    scripts/test-images.sh --with umoci
fi

if [ "$full" = yes ]; then
    say "a release, made twice"
    scripts/test-dist.sh
fi

if [ "$full" = yes ]; then
    say "the same patches by kpatch-build"
    scripts/compare.sh
fi

printf '\ntest: all tests passed, on the real kernel %s too, in %s s\n' \
    "$release" "$(($(date +%s) - began))"
