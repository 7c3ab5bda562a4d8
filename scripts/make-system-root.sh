#!/bin/sh
# A small Debian with systemd as a tar archive, for the tests of the units: from the archive that this machine uses.
#
# usage: scripts/make-system-root.sh ARCHIVE.tar
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
[ $# -eq 1 ] || { sed -n 's/^# \{0,1\}//; 4p' "$0" >&2; exit 2; }
say "a Debian with systemd, for the tests of the units"
debian_root "$1" systemd,systemd-sysv,udev
