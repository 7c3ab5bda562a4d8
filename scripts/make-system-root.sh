#!/bin/sh
# A small Debian with systemd, or with OpenRC over sysvinit, as a tar archive, for the tests of what is in packaging/:
# from the archive that this machine uses.
#
# usage: scripts/make-system-root.sh systemd|openrc ARCHIVE.tar
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
usage() { sed -n 's/^# \{0,1\}//; 5p' "$0" >&2; exit 2; }
[ $# -eq 2 ] || usage
case $1 in
    systemd) packages=systemd,systemd-sysv,udev ;;
    openrc) packages=openrc,sysvinit-core,udev ;;
    *) usage ;;
esac
archive=$2
settings=$(mktemp -d)
trap 'rm -rf "$settings"' EXIT
# How packages are fetched here: proxies and the like. mmdebstrap's apt has no other settings of this machine.
apt-config dump | grep '^Acquire::' | grep -v -e '^Acquire::Languages' -e CompressionTypes > "$settings/acquire"
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
# Debian's own archive only: both forms that apt reads.
: > "$settings/sources"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ ! -f "$file" ] || ! grep -q -i debian "$file" || { cat "$file"; echo; } >> "$settings/sources"
done
say "a Debian $codename with $1, for the tests"
mkdir -p "${archive%/*}"
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --aptopt="$settings/acquire" --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$codename" "$archive.partial.tar" - < "$settings/sources" ||
    fail "mmdebstrap could not make a system" "is the archive reachable? apt update"
mv "$archive.partial.tar" "$archive"
