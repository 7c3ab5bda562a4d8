#!/bin/sh
# The main job on real input: a server, a client, livepatches for a stock Debian kernel.
#
# The environment variable KERNEL chooses it: debian-12 (the default), debian-13 or
# debian-13-backports. The packages come from the mirror of the machine's own apt, whatever suites
# that has configured.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
become_root scripts/demo.sh

case ${KERNEL:-debian-12} in
    debian-12) release=6.1.0-50-cloud-amd64 ;;
    debian-13) release=6.12.117+deb13-cloud-amd64 ;;
    debian-13-backports) release=7.3.4+deb13-cloud-amd64 ;;
    *) fail "there is no demonstration for KERNEL=$KERNEL" \
        "KERNEL=debian-12, debian-13 or debian-13-backports" ;;
esac
programs=${CARGO_TARGET_DIR:-target}/release
version=6.1.176-1
fixed_version=6.1.187-1
cve=CVE-2026-63824
cve_file=security/keys/keyctl_pkey.c

work=$PWD/target/demo
server_log=$work/server.log
server_process=

stop_server() {
    [ -z "$server_process" ] || kill "$server_process" 2>/dev/null || true
    [ -z "$server_process" ] || wait "$server_process" 2>/dev/null || true
}
trap stop_server EXIT
trap 'exit 130' INT TERM

# source_file PACKAGE PATH: one file of a linux-source package.
source_file() {
    dpkg-deb --fsys-tarfile "$1" | tar --extract --to-stdout ./usr/src/linux-source-6.1.tar.xz |
        tar --extract --xz --to-stdout "linux-source-6.1/$2"
}

# The fix as Debian's own source has it: what changed in one file between the two versions.
derive_cve_patch() {
    patch=$cache_directory/$cve-$version-$fixed_version.patch
    if [ ! -s "$patch" ]; then
        old=$(fetch_package linux-source-6.1 "$version")
        new=$(fetch_package linux-source-6.1 "$fixed_version")
        say "deriving the fix of $cve from linux-source-6.1 $version and $fixed_version"
        mkdir -p "$work/a/$(dirname $cve_file)" "$work/b/$(dirname $cve_file)"
        source_file "$old" "$cve_file" > "$work/a/$cve_file"
        source_file "$new" "$cve_file" > "$work/b/$cve_file"
        # diff exits with 1 when the files differ, as they must.
        status=0
        (cd "$work" && diff --unified --label "a/$cve_file" --label "b/$cve_file" \
            "a/$cve_file" "b/$cve_file") > "$patch.partial" || status=$?
        [ "$status" -eq 1 ] || fail "the two sources of $cve_file do not differ" ""
        mv "$patch.partial" "$patch"
    fi
    cp "$patch" "$work/$cve.patch"
}

start_server() {
    say "starting the server on the loopback interface"
    "$programs/elivepatch-server" --listen 127.0.0.1:0 \
        --data-directory "$work/data" --cache-directory "$cache_directory" 2> "$server_log" &
    server_process=$!
    for _ in $(seq 100); do
        url=$(sed -n 's,.*\(http://127\.0\.0\.1:[0-9]*\).*,\1,p' "$server_log" | head -n 1)
        [ -z "$url" ] || break
        kill -0 "$server_process" 2>/dev/null ||
            { cat "$server_log" >&2; fail "the server did not start" "its messages are above"; }
        sleep 0.1
    done
    [ -n "$url" ] || { cat "$server_log" >&2; fail "the server does not say where it listens" ""; }
    grep -E '^(elivepatch-server|warning)' "$server_log" >&2 || true
}

# build_livepatch NAME ARGUMENT…: runs the client; its report stays in $work/NAME.report.
build_livepatch() {
    name=$1
    shift
    "$programs/elivepatch" --config "$work/config-$release" --url "$url" --output "$work/" "$@" \
        > "$work/$name.report" || {
        status=$?
        cat "$work/$name.report"
        printf 'demo: failed; the server'\''s log is %s\n' "$server_log" >&2
        exit "$status"
    }
}

rm -rf "$work"
mkdir -p "$work"
say "the config of Debian's stock kernel $release"
"$programs/elivepatch-server" kernel-config "$release" --cache-directory "$cache_directory" \
    > "$work/config-$release"

if [ "$release" = 6.1.0-50-cloud-amd64 ]; then
    derive_cve_patch
    start_server
    say "1: a change that can be seen: a label in /proc/meminfo"
    build_livepatch label --patch demo/meminfo-label.patch --checks demo/meminfo-label.checks.toml
    say "2: a real fix: $cve, an overflow in keyctl_pkey_params_get_2"
    build_livepatch cve --patch "$work/$cve.patch"
else
    start_server
    say "a change that can be seen: a label in /proc/meminfo"
    build_livepatch label --patch demo/meminfo-total.patch --checks demo/meminfo-total.checks.toml
fi

printf '\n'
for report in label cve; do
    [ ! -e "$work/$report.report" ] || cat "$work/$report.report"
done
printf 'demo: livepatch verified on %s\n' "$release"
