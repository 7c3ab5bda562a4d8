#!/bin/sh
# Boots a small Debian with OpenRC in a container, in which the server is installed as its ebuild does it, and looks at
# what init script, conf.d and the rotation of the log do: scripts/openrc-guest.sh, in there. That is Debian's OpenRC.
#
# usage: scripts/check-openrc.sh PROGRAM
#   PROGRAM   the server, built for the release of Debian that this machine has
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
[ $# -eq 1 ] || { sed -n 's/^# \{0,1\}//; 5,6p' "$0" >&2; exit 2; }
become_root scripts/check-openrc.sh "$@"
program=$1
[ -x "$program" ] || fail "$program is no program" "cargo build --bin elivepatch-server"
install_packages mmdebstrap systemd-container

place=$(mktemp -d)
root=$place/root
container=
clean_up() {
    [ -z "$container" ] || { kill "$container" 2>/dev/null || true; wait "$container" 2>/dev/null || true; }
    rm -rf "$place"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

say "the scripts"
for script in packaging/openrc/*; do
    sh -n "$script" || fail "sh does not take $script" "sh -n $script"
done

archive=$cache_directory/test/openrc-server-root.tar
if [ ! -s "$archive" ]; then
    say "a Debian with OpenRC to install in, once"
    # What the ebuild depends on, without the emulator, which only trials start; and what the guest looks with.
    debian_root "$archive" openrc,sysvinit-core,systemd-standalone-sysusers,logrotate,procps,\
bubblewrap,busybox-static,ca-certificates,curl,git,gpgv,openssl,patch,xz-utils,zstd
fi
say "unpacking it, and installing the server as its ebuild does"
mkdir -p "$root"
tar --extract --file="$archive" --directory="$root" --numeric-owner --exclude='./dev/*'
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 chroot "$root" "$@"; }
install -m 755 "$program" "$root/usr/bin/elivepatch-server"
install -D -m 755 packaging/openrc/elivepatch-server "$root/etc/init.d/elivepatch-server"
install -D -m 644 packaging/openrc/elivepatch-server.confd "$root/etc/conf.d/elivepatch-server"
install -D -m 644 packaging/logrotate/elivepatch-server "$root/etc/logrotate.d/elivepatch-server"
install -D -m 644 packaging/server.toml "$root/etc/elivepatch/server.toml"
install -D -m 644 packaging/sysusers/elivepatch-server.conf "$root/usr/lib/sysusers.d/elivepatch-server.conf"
inside systemd-sysusers elivepatch-server.conf
install -d -m 750 "$root/var/lib/elivepatch-server"
inside chown elivepatch:elivepatch /var/lib/elivepatch-server
inside rc-update --quiet add elivepatch-server default

install -m 755 scripts/openrc-guest.sh "$root/guest"
# Nobody logs in, and nothing in there may change clock, kernel or control groups of the machine.
sed -i '/getty\|sulogin/d' "$root/etc/inittab"
for service in brightness cgroups hwclock.sh mount-configfs procps urandom; do
    rm -f "$root/etc/runlevels/sysinit/$service"
done
# Behind the line that starts the services. The machine is switched off by what is in there, or after seven minutes.
echo 'gu:2345:once:/bin/sh -c "/guest >/asked 2>&1; exec /sbin/poweroff"' >> "$root/etc/inittab"

say "the server under OpenRC"
# A lower limit of open files than that of the init script, and a higher one than that of the server's sandbox.
timeout --kill-after=10 420 systemd-nspawn --quiet --directory="$root" --machine="elivepatch-openrc-$$" --register=no \
    --keep-unit --private-network --rlimit=RLIMIT_NOFILE=1024:8192 --console=pipe --boot \
    > "$place/boot" 2>&1 < /dev/null &
container=$!
wait "$container" || true
container=
log=$root/var/log/elivepatch-server/server.log
if ! grep -q '^openrc-guest: all of it$' "$root/asked" 2>/dev/null; then
    cat "$root/asked" 2>/dev/null || true
    tail -n 20 "$place/boot" >&2
    fail "the guest did not come to its end" "the last lines of its console are above"
fi
cat "$root/asked"
failures=$(grep -c '^WRONG ' "$root/asked" || true)
if [ "$failures" -ne 0 ]; then
    say "the end of the server's log"
    tail -n 20 "$log" >&2 || true
    fail "$failures things are not as they should be" "they are marked WRONG above"
fi
printf '\ncheck-openrc: the server is as it should be under OpenRC\n'
