#!/bin/sh
# Installs, upgrades, removes and purges the Debian packages in a small Debian, and looks at what is there after each
# step, and at what is left behind. Then that Debian is booted in a container, and its systemd runs the units.
#
# usage: scripts/test-packages.sh [DIRECTORY]
#   DIRECTORY   has the packages; else target/packages, where scripts/packages.sh leaves them
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
case $# in
    0 | 1) ;;
    *) sed -n 's/^# \{0,1\}//; 5,6p' "$0" >&2; exit 2 ;;
esac
become_root scripts/test-packages.sh "$@"
directory=${1:-target/packages}
ls "$directory"/elivepatch_*.deb "$directory"/elivepatch-server_*.deb >/dev/null 2>&1 ||
    fail "there are no packages in $directory" "make packages"
install_packages mmdebstrap systemd-container

place=$(mktemp -d)
root=$place/root
container=

# Nothing of the machine's may be mounted below what is removed at the end.
clean_up() {
    [ -z "$container" ] || { kill "$container" 2>/dev/null || true; wait "$container" 2>/dev/null || true; }
    for mounted in var/lib/elivepatch var/cache/elivepatch-server var/cache/apt/archives dev proc; do
        ! mountpoint --quiet "$root/$mounted" || umount --recursive "$root/$mounted" ||
            fail "cannot unmount $root/$mounted" "umount it, and remove $place"
    done
    ! mountpoint --quiet "$root" || umount "$root" || fail "cannot unmount $root" "umount it, and remove $place"
    rm -rf "$place"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

. scripts/expect.sh
inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
}
there() { [ -e "$root/$1" ] || [ -L "$root/$1" ]; }
has_text() { grep -q -- "$2" "$root/$1"; }
owner_is() { [ "$(inside stat --format='%U:%G %a' "/$1")" = "$2" ]; }
# only DIRECTORY NAME: nothing but this is in there.
only() { ls -A "$root/$1" && [ "$(ls -A "$root/$1")" = "$2" ]; }
enabled() { [ "$(inside systemctl is-enabled "$1")" = enabled ]; }

# next_version PACKAGE N: the same package with a higher version, and with a config that its maintainer changed, as
# PACKAGE-next-N.deb.
next_version() {
    file=$(ls "$directory/$1"_*.deb)
    rm -rf "$place/next"
    dpkg-deb --raw-extract "$file" "$place/next"
    sed -i "s/^Version: .*/&+$2/" "$place/next/DEBIAN/control"
    for config in "$place"/next/etc/elivepatch/*; do
        echo '# of the next version' >> "$config"
    done
    dpkg-deb --build --root-owner-group -Znone "$place/next" "$root/packages/$1-next-$2.deb" > /dev/null
}

archive=$cache_directory/test/packages-root.tar
if [ ! -s "$archive" ]; then
    say "a Debian to install in, once"
    debian_root "$archive" systemd,systemd-sysv,dbus
fi
say "unpacking it"
mkdir -p "$root"
# A root that is no mount of its own cannot be told how mounts spread, which every sandbox does.
mount --bind "$root" "$root"
tar --extract --file="$archive" --directory="$root" --numeric-owner --exclude='./dev/*'
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/resolv.conf"
# What is lost when the machine dies is made again.
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/unsafe"
# Packages that were fetched once are kept for the next time.
mkdir -p "$cache_directory/test/archives"
mount --bind "$cache_directory/test/archives" "$root/var/cache/apt/archives"
mkdir -p "$root/packages"
cp "$directory"/elivepatch_*.deb "$root/packages/elivepatch.deb"
cp "$directory"/elivepatch-server_*.deb "$root/packages/elivepatch-server.deb"
next_version elivepatch 1
for number in 1 2 3; do
    next_version elivepatch-server "$number"
done
units="elivepatch-agent elivepatch-boot elivepatch-shutdown"

say "the client: install"
# Without dependencies but what Debian always has: it must do without the archive.
expect "dpkg installs it" inside dpkg --install /packages/elivepatch.deb
expect "the program runs" inside elivepatch --version
expect "also as the first client was called" inside elivepatch-client --version
for unit in $units; do
    expect "$unit is enabled" enabled "$unit"
done
expect "the config is a conffile" inside sh -c "dpkg-query --show --showformat='\${Conffiles}' elivepatch | grep -q agent.toml"
expect "the agent's config can be read" inside sh -c 'elivepatch agent --once 2>&1 | grep "not registered"'
inside systemd-tmpfiles --create elivepatch.conf
expect "only root sees the state" owner_is var/lib/elivepatch "root:root 700"
# client_state DIRECTORY: all that the client keeps there, and what a run from cron stores there.
client_state() {
    mkdir -p "$root/$1/livepatches/digest" "$root/$1/cve"
    for name in state.json history.jsonl enrolment.json agent.json host.lock agent.lock cve/told.json livepatch_a_1.ko \
        livepatch_a_1.ko.manifest.json livepatch_a_1.ko.manifest.json.minisig; do
        echo '{}' > "$root/$1/$name"
    done
}
client_state var/lib/elivepatch

say "the client: upgrade"
inside systemctl disable elivepatch-agent >/dev/null 2>&1
expect "dpkg upgrades it" inside dpkg --install /packages/elivepatch-next-1.deb
expect "a config that nobody changed is the new one" has_text etc/elivepatch/agent.toml 'of the next version'
expect "what was disabled stays disabled" not enabled elivepatch-agent
expect "what was enabled stays enabled" enabled elivepatch-boot
expect "the state is there" there var/lib/elivepatch/state.json

say "the client: remove"
expect "dpkg removes it" inside dpkg --remove elivepatch
expect "the program is gone" not there usr/bin/elivepatch
expect "and its old name" not there usr/bin/elivepatch-client
expect "the config stays" there etc/elivepatch/agent.toml
expect "the state stays" there var/lib/elivepatch/livepatches/digest
expect "no unit is started any more" not enabled elivepatch-boot

say "the client: install again"
expect "dpkg installs it" inside dpkg --install /packages/elivepatch.deb
expect "the state is there still" there var/lib/elivepatch/state.json
expect "what was disabled stays disabled" not enabled elivepatch-agent
expect "what was enabled is enabled again" enabled elivepatch-boot

say "the client: purge"
echo mine > "$root/var/lib/elivepatch/other"
expect "dpkg purges it" inside dpkg --purge elivepatch
expect "the config is gone" not there etc/elivepatch
expect "what is not the client's stays" there var/lib/elivepatch/other
rm "$root/var/lib/elivepatch/other"
rmdir "$root/var/lib/elivepatch"

say "the client: purge, with its state behind a link, and with an empty disk there"
mkdir -p "$root/srv/state"
ln -s /srv/state "$root/var/lib/elivepatch"
inside dpkg --install /packages/elivepatch.deb > /dev/null 2>&1
client_state srv/state
echo mine > "$root/srv/state/other"
expect "dpkg purges it" inside dpkg --purge elivepatch
expect "what the client kept behind the link is gone, and nothing else" only srv/state other
rm "$root/var/lib/elivepatch"
rm -r "$root/srv/state"
mkdir "$root/var/lib/elivepatch"
mount -t tmpfs tmpfs "$root/var/lib/elivepatch"
inside dpkg --install /packages/elivepatch.deb > /dev/null 2>&1
expect "dpkg purges it where a disk is mounted" inside dpkg --purge elivepatch
umount "$root/var/lib/elivepatch"
rmdir "$root/var/lib/elivepatch"

# left_behind: what has elivepatch in its name, other than what the test itself put there.
left_behind() {
    (cd "$root" && find . -xdev -path ./packages -prune -o -name '*elivepatch*' -print)
}
left=$(left_behind)
expect "nothing is left behind${left:+: $left}" [ -z "$left" ]

say "the server: install, with what it depends on"
inside apt-get -o APT::Sandbox::User=root update --quiet > "$place/apt" 2>&1 ||
    { cat "$place/apt" >&2; fail "apt in the small Debian does not reach the archive" "apt-get update"; }
expect "apt installs it" inside apt-get install --quiet --yes --no-install-recommends /packages/elivepatch-server.deb
expect "its user is there" inside id elivepatch
expect "and may use KVM" inside sh -c 'id --groups --name elivepatch | grep -q kvm'
expect "its unit is enabled" enabled elivepatch-server
expect "that of a machine that only builds is there" there usr/lib/systemd/system/elivepatch-worker.service
expect "and is not enabled" not enabled elivepatch-worker
# As the boot of the machine does.
inside systemd-tmpfiles --create elivepatch-server.conf
expect "the data is its user's" owner_is var/lib/elivepatch-server "elivepatch:elivepatch 750"
# shellcheck disable=SC2016 # for the shell in there
expect "what root makes there is its user's, too" \
    inside sh -c 'elivepatch-server token create --role admin > /root/token &&
        test -z "$(find /var/lib/elivepatch-server ! -user elivepatch)"'

say "the server: upgrade, with a config that was changed here"
sed -i 's/^#listen = .*/listen = "127.0.0.1:8421"/' "$root/etc/elivepatch/server.toml"
expect "apt upgrades it" inside apt-get install --quiet --yes -o Dpkg::Options::=--force-confold \
    /packages/elivepatch-server-next-1.deb
expect "the config is as it was changed" has_text etc/elivepatch/server.toml '^listen = "127.0.0.1:8421"'
expect "that of the package is beside it" there etc/elivepatch/server.toml.dpkg-dist
expect "the worker's unit is off still" not enabled elivepatch-worker
expect "the token is still there" inside sh -c 'elivepatch-server token list | grep -q admin'

# What is asked of the booted Debian, and how it says that it is done.
cat > "$root/usr/local/bin/ask" <<'END'
#!/bin/sh
exec > /asked 2>&1
run() { name=$1; shift; echo "== $name"; "$@"; printf '\n== %s ended with %s\n' "$name" "$?"; }
# An upgrade that keeps the config as it was changed here, and asks nothing.
upgrade() { dpkg --force-confold --install "$1"; }
# What systemd calls this start of a unit; another start has another one.
invocation() { systemctl show --property InvocationID --value "$1"; }
# The unit is active after COMMAND…, and was started anew by it.
started_anew_by() {
    unit=$1
    shift
    before=$(invocation "$unit")
    process=$(systemctl show --property MainPID --value "$unit")
    "$@" || return
    # A server that ends soon after its start is none.
    sleep 3
    echo "$unit: $before, process $process; then $(invocation "$unit"), process" \
        "$(systemctl show --property MainPID --value "$unit")"
    [ -n "$before" ] && [ "$before" != "$(invocation "$unit")" ] &&
        [ "$process" != "$(systemctl show --property MainPID --value "$unit")" ] && systemctl is-active "$unit"
}
# serves OPTION… URL: waits for a server there.
serves() {
    for _ in $(seq 60); do
        curl --silent --fail "$@/api/v2/health" && return
        sleep 1
    done
    return 1
}
# Within a minute it either serves or has said why not.
serves http://127.0.0.1:8421
run active systemctl is-active elivepatch-server
run user ps -o user= -C elivepatch-server
run builds sh -c 'curl --silent --fail http://127.0.0.1:8421/api/v2/builds -H "authorization: Bearer $(cat /root/token)"'
run without-token sh -c '! curl --silent --fail http://127.0.0.1:8421/api/v2/builds'
run config elivepatch-server check-config
run journal journalctl --no-pager --unit elivepatch-server
upgraded() { started_anew_by elivepatch-server upgrade /packages/elivepatch-server-next-2.deb; }
run server-upgraded upgraded
run serves-again serves http://127.0.0.1:8421
# On an address that others reach it has a certificate, of its own making. It is renewed by hand.
renew() {
    sed -i 's/^listen = .*/listen = "0.0.0.0:8421"/' /etc/elivepatch/server.toml
    systemctl restart elivepatch-server
    serves --insecure https://127.0.0.1:8421 || return
    started=$(invocation elivepatch-server)
    cd /var/lib/elivepatch-server/tls || return
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=renewed \
        -addext subjectAltName=IP:127.0.0.1 -keyout /root/key.pem -out /root/certificate.pem || return
    cat /root/key.pem > key.pem
    cat /root/certificate.pem > certificate.pem
    cd /
    systemctl reload elivepatch-server || return
    serves --cacert /root/certificate.pem https://127.0.0.1:8421 && [ "$started" = "$(invocation elivepatch-server)" ]
}
run reload renew
run reload-journal sh -c 'journalctl --no-pager --unit elivepatch-server | grep "certificate read again"'
sed -i 's/^listen = .*/listen = "127.0.0.1:8421"/' /etc/elivepatch/server.toml
run security systemd-analyze --no-pager security elivepatch-server
run stop systemctl stop elivepatch-server
run result sh -c 'test "$(systemctl show --property Result --value elivepatch-server)" = success'
systemctl disable elivepatch-server
run off-upgraded upgrade /packages/elivepatch-server-next-3.deb
run off sh -c '! systemctl is-enabled elivepatch-server && ! systemctl is-active elivepatch-server'
systemctl enable elivepatch-server
# A worker, for another server on this machine: its unit takes the place of the server's.
run other sh -c '
    install -d -o elivepatch -g elivepatch /srv/other
    sed -e "s,^listen = .*,listen = \"127.0.0.1:8422\"," -e "s,/var/lib/elivepatch-server,/srv/other/data," \
        -e "s,/var/cache/elivepatch-server,/srv/other/cache," /etc/elivepatch/server.toml > /srv/other/server.toml
    setsid runuser -u elivepatch -- elivepatch-server serve --config /srv/other/server.toml > /srv/other/log 2>&1 &
    for _ in $(seq 60); do curl --silent --fail http://127.0.0.1:8422/api/v2/health && break; sleep 1; done
    runuser -u elivepatch -- elivepatch-server token create --role worker --config /srv/other/server.toml > /srv/other/token'
run worker sh -c '
    install -o root -g elivepatch -m 640 /srv/other/token /etc/elivepatch/worker.token
    printf "\n[worker]\nserver = \"http://127.0.0.1:8422\"\ntoken_file = \"/etc/elivepatch/worker.token\"\n" \
        >> /etc/elivepatch/server.toml
    systemctl start elivepatch-server
    systemctl start elivepatch-worker
    for _ in $(seq 60); do
        journalctl --no-pager --unit elivepatch-worker | grep "the server takes this worker" && exit
        sleep 1
    done
    exit 1'
run instead sh -c '! systemctl is-active elivepatch-server'
run worker-journal journalctl --no-pager --unit elivepatch-worker
run worker-stop systemctl stop elivepatch-worker
run worker-result sh -c 'test "$(systemctl show --property Result --value elivepatch-worker)" = success'
pkill -f /srv/other/server.toml
rm -rf /srv/other /etc/elivepatch/worker.token
run client dpkg --install /packages/elivepatch.deb
run boot systemctl is-active elivepatch-boot elivepatch-shutdown
run agent systemctl show --property ConditionResult --value elivepatch-agent
enrol() {
    systemctl start elivepatch-server
    serves http://127.0.0.1:8421 || return
    elivepatch-server token create --role host > /root/host.token || return
    elivepatch enrol --url http://127.0.0.1:8421 --token-file - < /root/host.token || return
    systemctl start elivepatch-agent
    sleep 3
    systemctl is-active elivepatch-agent
}
run enrolled enrol
upgraded() { started_anew_by elivepatch-agent upgrade /packages/elivepatch-next-1.deb; }
run upgraded upgraded
run still systemctl is-active elivepatch-boot elivepatch-shutdown
run removed dpkg --purge elivepatch
systemctl poweroff
END
chmod 755 "$root/usr/local/bin/ask"
printf '[Unit]\nAfter=multi-user.target\n[Service]\nExecStart=/usr/local/bin/ask\n' \
    > "$root/etc/systemd/system/ask.service"
mkdir -p "$root/etc/systemd/system/graphical.target.wants"
ln -s ../ask.service "$root/etc/systemd/system/graphical.target.wants/ask.service"
# The container sees the machine's own /proc and /sys, or the sandbox could not have a /proc of its own: nothing in it
# may change the machine.
for unit in systemd-sysctl systemd-udevd systemd-udev-trigger systemd-modules-load systemd-binfmt \
    systemd-remount-fs systemd-random-seed kmod-static-nodes apt-daily apt-daily-upgrade; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
done

say "the server and the client under systemd"
umount "$root/var/cache/apt/archives" "$root/proc" "$root/dev"
# boot SECONDS [OPTION]…: until it is switched off.
boot() {
    seconds=$1
    shift
    SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 timeout --kill-after=10 "$seconds" systemd-nspawn --quiet --directory="$root" \
        --machine="elivepatch-$$" --register=no --keep-unit "$@" --console=pipe --boot > "$place/boot" 2>&1 < /dev/null &
    container=$!
    wait "$container" || true
    container=
}
boot 400 --private-network
# said NAME: what the booted Debian was asked under that name ended well; shows it, for expect.
said() { section "$1" && grep -q "^== $1 ended with 0\$" "$root/asked"; }
# section NAME: what was said under that name. What else was asked may say the same words.
section() { sed -n "/^== $1\$/,/^== $1 ended with/p" "$root/asked"; }
in_section() { section "$1" | grep -e "$2"; }
if [ -s "$root/asked" ]; then
    expect "the server runs" said active
    expect "as its user" in_section user '^elivepat'
    expect "it answers who has a token" said builds
    expect "and nobody else" said without-token
    expect "the sandbox is made within the unit's limits" \
        in_section journal "sandbox: bubblewrap as the server's own user"
    expect "bases are shared by overlay" in_section journal 'bases are shared by overlay'
    expect "its config is looked at by root" said config
    expect "an upgrade starts it anew" said server-upgraded
    expect "and it answers again" said serves-again
    expect "it has a certificate that was renewed after a reload, without another start" said reload
    expect "and says so" said reload-journal
    expect "it stops" said result
    expect "it is upgraded where it is off" said off-upgraded
    expect "and stays off" said off
    expect "a server that builds nothing itself runs beside it" said other
    expect "the worker's unit runs, and that server takes it" said worker
    expect "in the place of the server's unit" said instead
    expect "its sandbox is made within the unit's limits" \
        in_section worker-journal "sandbox: bubblewrap as the server's own user"
    expect "it shares bases by overlay, too" in_section worker-journal 'bases are shared by overlay'
    expect "it stops" said worker-result
    expect "the client's units run after its install" said boot
    expect "and after its upgrade" said still
    expect "the agent waits for the machine to be registered" in_section agent '^no$'
    expect "it runs when that is done" said enrolled
    expect "an upgrade starts it anew" said upgraded
    expect "the client is purged while systemd runs" said removed
else
    failures=$((failures + 1))
    echo "WRONG the Debian did not boot in a container"
    tail -n 20 "$place/boot"
fi
cp "$root/asked" target/packages-asked.log 2>/dev/null || true

# The whole work within the unit's limits, for a Debian that is newer than the server's: the service fetches the kernel,
# makes the toolchain root, compiles in its sandbox, and tries the module in a virtual machine. It needs the archive,
# and so the machine's network; it listens on the loopback interface.
release=6.12.117+deb13-cloud-amd64
port=8421
while curl --silent --output /dev/null "http://127.0.0.1:$port/"; do
    port=$((port + 1))
done
sed -i "s/^listen = .*/listen = \"127.0.0.1:$port\"/" "$root/etc/elivepatch/server.toml"
say "a livepatch for $release, ordered from the server under systemd (some minutes)"
cp demo/meminfo-total.patch demo/meminfo-total.checks.toml "$root/packages"
cat > "$root/usr/local/bin/ask" <<END
#!/bin/sh
release=$release
url=http://127.0.0.1:$port
END
cat >> "$root/usr/local/bin/ask" <<'END'
exec > /asked 2>&1
run() { name=$1; shift; echo "== $name"; "$@"; printf '\n== %s ended with %s\n' "$name" "$?"; }
serving() {
    for _ in $(seq 60); do
        curl --silent --fail "$url/api/v2/health" && return
        sleep 1
    done
    return 1
}
run order-client dpkg --install /packages/elivepatch.deb
run order-server systemctl start elivepatch-server
run order-serving serving
cd /root
run order-config sh -c "runuser -u elivepatch -- elivepatch-server kernel-config $release > config-$release"
run order elivepatch --url "$url" --token-file token --config "config-$release" --output /root/ \
    --patch /packages/meminfo-total.patch --checks /packages/meminfo-total.checks.toml
run order-module sh -c 'test -s /root/livepatch_*.ko'
root=/var/cache/elivepatch-server/toolchain-roots
run order-root sh -c "ls $root/debian-13-*/root/usr/bin/gcc-14 && test -z \"\$(find $root -type f -perm /6000 -o ! -user elivepatch)\""
run order-journal journalctl --no-pager --unit elivepatch-server
run order-purged dpkg --purge elivepatch
systemctl poweroff
END
rm -f "$root/asked"
# What has its digest is fetched once only.
inside install -d -o elivepatch -g elivepatch -m 750 /var/cache/elivepatch-server/packages
for package in "$cache_directory"/packages/*6.12*.deb "$cache_directory"/packages/kpatch-build_*.deb; do
    [ ! -e "$package" ] || cp "$package" "$root/var/cache/elivepatch-server/packages"
done
inside chown -R elivepatch:elivepatch /var/cache/elivepatch-server
boot 1500
if [ -s "$root/asked" ]; then
    expect "the client orders it, and gets it" said order
    expect "the module was tried" in_section order 'trial .* passed on'
    expect "and is there" said order-module
    expect "the toolchain root is the service's own, without programs that give others its rights" said order-root
    expect "the client is purged again" said order-purged
    cat "$root/asked" >> target/packages-asked.log
else
    failures=$((failures + 1))
    echo "WRONG the Debian did not boot in a container"
    tail -n 20 "$place/boot"
fi
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
rm -f "$root/usr/local/bin/ask" "$root/etc/systemd/system/ask.service" \
    "$root/etc/systemd/system/graphical.target.wants/ask.service"

say "the server: remove"
expect "dpkg removes it" inside dpkg --remove elivepatch-server
expect "the program is gone" not there usr/bin/elivepatch-server
expect "the config stays" there etc/elivepatch/server.toml
expect "the data stays" there var/lib/elivepatch-server/elivepatch.sqlite3

say "the server: install again"
expect "dpkg installs it" inside dpkg --force-confold --install /packages/elivepatch-server.deb
expect "the config is as it was changed" has_text etc/elivepatch/server.toml '^listen = "127.0.0.1:8421"'
expect "its unit is enabled" enabled elivepatch-server
expect "the token is still there" inside sh -c 'elivepatch-server token list | grep -q admin'

say "the server: purge"
echo secret > "$root/etc/elivepatch/worker.token"
expect "dpkg purges it" inside dpkg --purge elivepatch-server
expect "the config is gone, but for what was put there by hand" only etc/elivepatch worker.token
rm -r "$root/etc/elivepatch"
expect "the data is gone" not there var/lib/elivepatch-server
expect "the cache is gone" not there var/cache/elivepatch-server
expect "the user stays" inside id elivepatch

say "the server: purge, with its data behind a link, and with a disk for the cache"
inside install -d -o elivepatch -g elivepatch -m 750 /srv/data /var/cache/elivepatch-server
inside install -d /srv/others
echo mine > "$root/srv/others/file"
ln -s /srv/data "$root/var/lib/elivepatch-server"
mount -t tmpfs tmpfs "$root/var/cache/elivepatch-server"
inside chown elivepatch:elivepatch /var/cache/elivepatch-server
inside dpkg --install /packages/elivepatch-server.deb > /dev/null 2>&1
expect "keys and tokens are made behind the link" \
    inside sh -c 'elivepatch-server token create --role admin && test -s /srv/data/elivepatch.sqlite3'
ln -s /srv/others "$root/srv/data/others"
mkdir -p "$root/var/cache/elivepatch-server/bases"
expect "dpkg purges it" inside dpkg --purge elivepatch-server
expect "nothing is left behind the link" only srv/data ''
expect "what a link in there leads to stays" there srv/others/file
expect "nothing is left on the disk" only var/cache/elivepatch-server ''
umount "$root/var/cache/elivepatch-server"
rmdir "$root/var/cache/elivepatch-server"
rm "$root/var/lib/elivepatch-server"
ln -s /srv/others "$root/var/lib/elivepatch-server"
inside dpkg --install /packages/elivepatch-server.deb > /dev/null 2>&1
inside chown root:root /srv/others
expect "dpkg purges it where the link leads to a directory of others" inside dpkg --purge elivepatch-server
expect "which stays as it is" there srv/others/file
rm -r "$root/var/lib/elivepatch-server" "$root/srv/data" "$root/srv/others"
left=$(left_behind)
expect "nothing else is left behind${left:+: $left}" [ -z "$left" ]

say "what docs/install.md shows, from its text"
# Debian's file names, and what is installed from source.
mkdir -p "$root/guide/packages" "$root/guide/docs"
cp "$directory"/*.deb "$root/guide/packages"
cp docs/install.md "$root/guide/docs"
cp -r packaging scripts/install-guide.sh "$root/guide"
dpkg-deb --fsys-tarfile "$directory"/elivepatch-server_*.deb |
    tar --extract --to-stdout ./usr/bin/elivepatch-server > "$root/guide/elivepatch-server"
printf '[Unit]\nAfter=multi-user.target\n[Service]\nExecStart=/bin/sh -c "%s"\n' \
    '/guide/install-guide.sh /guide >/guide/said 2>&1; systemctl poweroff' \
    > "$root/etc/systemd/system/guide.service"
mkdir -p "$root/etc/systemd/system/graphical.target.wants"
ln -s ../guide.service "$root/etc/systemd/system/graphical.target.wants/guide.service"
# The guide removes what the server needs and installs it again, without a network.
cp "$cache_directory"/test/archives/*.deb "$root/var/cache/apt/archives"
umount "$root/proc" "$root/dev"
SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 timeout --kill-after=10 400 systemd-nspawn --quiet --directory="$root" \
    --machine="elivepatch-guide-$$" --register=no --keep-unit --private-network --console=pipe --boot \
    > "$place/boot" 2>&1 < /dev/null &
container=$!
wait "$container" || true
container=
cat "$root/guide/said"
expect "each block does what it says" has_text guide/said '^install-guide: all of it'

[ "$failures" -eq 0 ] || fail "$failures things are not as they should be" "they are marked WRONG above"
printf '\ntest-packages: install, upgrade, remove and purge are as they should be\n'
