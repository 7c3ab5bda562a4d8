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
say "a Debian with $1, for the tests"
debian_root "$2" "$packages"
