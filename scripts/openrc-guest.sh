#!/bin/sh
# Looks at the server under OpenRC. It is for a Debian in a container that is thrown away, with the server in its
# default runlevel: scripts/check-openrc.sh boots it and runs this there.
set -u
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root
service=elivepatch-server
config=/etc/elivepatch/server.toml
conf_d=/etc/conf.d/$service
data=/var/lib/$service
cache=/var/cache/$service
log_directory=/var/log/$service
log=$log_directory/server.log
said=$(mktemp)

# expect WHAT COMMAND…: the command must succeed.
expect() {
    what=$1
    shift
    if "$@" > "$said" 2>&1; then
        echo "ok    $what"
    else
        echo "WRONG $what"
        sed 's/^/      /' "$said"
    fi
}
not() { ! "$@"; }
# is FOUND WANTED: also says what was found.
is() { echo "it is '$1', not '$2'"; [ "$1" = "$2" ]; }
# wait_for COMMAND…: until it succeeds, for half a minute.
wait_for() {
    for _ in $(seq 150); do
        ! "$@" > /dev/null 2>&1 || return 0
        sleep 0.2
    done
    "$@"
}
owner_is() { is "$(stat --format='%U:%G %a' "$1")" "$2"; }
status_is() { rc-service $service status 2>&1 | grep "status: $1"; }
# says TEXT COMMAND…: the command fails, and says that.
says() {
    text=$1
    shift
    ! output=$("$@" 2>&1) || { echo "it succeeds: $output"; return 1; }
    echo "$output"
    case $output in *"$text"*) ;; *) return 1 ;; esac
}

supervisor() { cat /run/$service.pid; }
# The program itself: what it starts are children of its own.
server() { pgrep --parent "$(supervisor)"; }
# of_process FIELD: what the kernel says of it, with single blanks.
of_process() { sed -n "s/^$1[: \t]*//p" "/proc/$(server)/status" | tr -s '\t ' ' '; }
runs_as() { is "$(ps -o user:32=,group:32= -p "$(server)" | tr -s ' ')" "$1 $2"; }
may_open() { grep -E "^Max open files +$1 +$1 " "/proc/$(server)/limits"; }
get() { curl --silent --show-error --fail --cacert /root/certificates "$@"; }
healthy() { get "https://127.0.0.1:${1:-8420}/api/v2/health"; }
builds=https://127.0.0.1:8420/api/v2/builds
with_token() { get -H "authorization: Bearer $(cat /root/token)" "$builds"; }
without_token() { is "$(get --no-fail --output /dev/null --write-out '%{http_code}' "$builds")" 401; }
refused() { curl --silent "https://127.0.0.1:$1/"; is $? 7; }
# certificate NAME: a new one, in the place where the config has it.
certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj "/CN=$1" \
        -addext subjectAltName=IP:127.0.0.1 -keyout /root/key -out /root/certificate 2> /dev/null
    install -D -m 640 -g elivepatch /root/key /etc/elivepatch/tls/key.pem
    install -D -m 644 /root/certificate /etc/elivepatch/tls/certificate.pem
    cat /root/certificate >> /root/certificates
}
shown() {
    openssl s_client -connect 127.0.0.1:8420 < /dev/null 2> /dev/null |
        openssl x509 -noout -subject -nameopt multiline |
        sed -n 's/.*commonName *= //p'
}
shows() { is "$(shown)" "$1"; }
# nothing_stays USER: neither processes, nor what says that there are some.
nothing_stays() {
    status_is stopped && not pgrep --list-full --euid "$1" && not pgrep --list-full --exact supervise-daemo &&
        not [ -e /run/$service.pid ] && refused 8420
}
read_again() { grep -c 'certificate read again' "$log"; }

echo "== as it was installed"
plain() { curl --silent --show-error --fail http://127.0.0.1:8420/api/v2/health; }
expect "it is started with the machine" wait_for plain
expect "OpenRC knows" status_is started
expect "it stops" rc-service $service stop
expect "and nothing of it stays" nothing_stays elivepatch

echo "== before the first start, as docs/install.md has it"
rm -rf $cache $log_directory $data
install -d -m 750 -o elivepatch -g elivepatch $data
expect "root makes a token" sh -c 'umask 077; elivepatch-server token create --role admin > /root/token'
expect "checkconfig takes the config" rc-service $service checkconfig
expect "all that was made is the user's" is "$(find $data ! -user elivepatch -o ! -group elivepatch)" ""

echo "== its config"
cp -p $config /root/server.toml
echo 'listen = "nowhere"' > $config
expect "and refuses one that cannot be used" says 'nowhere' rc-service $service checkconfig
rm $config
expect "without a config it is not started, and it is said how one is made" \
    says "there is no $config: elivepatch-server init --config $config" rc-service $service start
expect "nothing of it is left" nothing_stays elivepatch
certificate first
cat /root/server.toml - > $config <<'TOML'
[tls]
enabled = true
certificate = "/etc/elivepatch/tls/certificate.pem"
key = "/etc/elivepatch/tls/key.pem"
TOML
expect "checkconfig takes that of the rest" rc-service $service checkconfig

echo "== start"
# What an administrator might have done to them, and what a cleaner of caches does.
chmod 755 $data
rm -rf $cache $log_directory
traced_start() { rc-service --debug $service start > /root/trace 2>&1; }
expect "it starts" traced_start
expect "OpenRC sets the limit of open files" grep '^+ ulimit -n 65536$' /root/trace
expect "it is healthy" wait_for healthy
expect "it takes the token" with_token
expect "and answers nobody without" without_token
expect "it runs as elivepatch" runs_as elivepatch elivepatch
expect "its groups are elivepatch and kvm" \
    is "$(of_process Groups | xargs -n 1 getent group | cut -d : -f 1 | sort | xargs)" "elivepatch kvm"
expect "it has no right on the machine" is "$(of_process CapEff)" 0000000000000000
# What the program begins with. It takes another one when it has opened its data, for trees that others read, too.
expect "what it makes is for nobody else at first" grep -E '^Umask:\s0077$' "/proc/$(supervisor)/status"
if sh -c 'ulimit -n 65536' 2> /dev/null; then
    expect "it may have 65536 files open" may_open 65536
else
    echo "SKIPPED: whether it may have 65536 files open, for this machine lets nobody have more than $(ulimit -H -n)"
    expect "it starts nevertheless" may_open 8192
fi
expect "the data is its user's" owner_is $data "elivepatch:elivepatch 750"
expect "the cache is its user's" owner_is $cache "elivepatch:elivepatch 750"
expect "the log's directory is root's" owner_is $log_directory "root:root 755"
expect "the log is its user's" owner_is $log "elivepatch:elivepatch 640"
expect "it says there where it listens" grep '127.0.0.1:8420' $log
files=$(sed -n 's/^Max open files *\([0-9]*\) .*/\1/p' "/proc/$(server)/limits")
expect "a second start does nothing" rc-service $service start
expect "its supervisor is one" is "$(pgrep --count --exact supervise-daemo)" 1

echo "== reload"
before=$(server)
expect "it shows its certificate" shows first
certificate second
expect "it does not look by itself" shows first
expect "reload" rc-service $service reload
expect "it reads its certificate again" wait_for shows second
expect "and says so" wait_for grep 'certificate read again' $log
expect "it is the same process" is "$(server)" "$before"

echo "== the log is rotated"
expect "logrotate runs with the machine's config" logrotate --force /etc/logrotate.conf
expect "what was there is in another file" grep 'certificate read again' $log.1
expect "for the same eyes only" owner_is $log.1 "elivepatch:elivepatch 640"
expect "the log begins anew" is "$(wc -c < $log)" 0
expect "for the same eyes, too" owner_is $log "elivepatch:elivepatch 640"
expect "reload, which is logged" rc-service $service reload
expect "the server goes on in the new one" wait_for grep 'certificate read again' $log
expect "at its beginning" sh -c "head -c 1 $log | tr '\0' '@' | grep -v @"
expect "the next rotation" logrotate --force /etc/logrotate.conf
expect "compresses the oldest" sh -c "gzip --decompress --stdout $log.2.gz | grep '127.0.0.1:8420'"
expect "it is the same process" is "$(server)" "$before"

echo "== it is killed"
expect "it can be killed" kill -KILL "$before"
another() { [ "$(server)" != "$before" ] && healthy; }
expect "it is started again" wait_for another
expect "as the same user" runs_as elivepatch elivepatch
expect "with as many files" may_open "$files"
expect "OpenRC knows" status_is started
ended=$(server)
expect "it stops" rc-service $service stop
expect "and nothing of it stays" nothing_stays elivepatch
expect "nor the process" not kill -0 "$ended"

echo "== a machine that only builds"
cp -p $conf_d /root/conf_d
cp -p $config /root/config
expect "a token of that role is made" \
    sh -c 'elivepatch-server token create --role worker > /root/worker.token'
install -m 640 -g elivepatch /root/worker.token /etc/elivepatch/worker.token
# Nobody listens there.
printf '[worker]\nserver = "http://127.0.0.1:9"\ntoken_file = "/etc/elivepatch/worker.token"\n' >> $config
echo 'ELIVEPATCH_SERVER_COMMAND="worker"' >> $conf_d
expect "it starts" rc-service $service start
expect "it asks its server for work, and goes on asking" wait_for grep 'cannot ask for work' $log
expect "it says for whom it builds" grep '^builds for: http://127.0.0.1:9, as ' $log
expect "it runs as elivepatch" runs_as elivepatch elivepatch
expect "it listens nowhere" refused 8420
before=$(server)
expect "it can be told to reload" rc-service $service reload
expect "which does it no harm" wait_for grep 'there is no certificate to read again' $log
expect "it is the same process" is "$(server)" "$before"
expect "it stops" rc-service $service stop
expect "and nothing of it stays" nothing_stays elivepatch
cp -p /root/conf_d $conf_d
cp -p /root/config $config
rm /etc/elivepatch/worker.token

echo "== another user"
groupadd --system livepatchers
useradd --system --gid livepatchers --home-dir $data --shell /usr/sbin/nologin builder
sed -i -e 's/^DAEMON_USER=.*/DAEMON_USER="builder"/' -e 's/^DAEMON_GROUP=.*/DAEMON_GROUP="livepatchers"/' $conf_d
echo 'rc_ulimit="-n 5000"' >> $conf_d
chgrp livepatchers /etc/elivepatch/tls/key.pem
chown -R builder:livepatchers $data $cache
expect "checkconfig" rc-service $service checkconfig
expect "it starts" rc-service $service start
expect "it is healthy" wait_for healthy
expect "it runs as that user" runs_as builder livepatchers
expect "in its group only" is "$(of_process Groups | xargs getent group | cut -d : -f 1)" livepatchers
expect "with as many files as conf.d says" may_open 5000
expect "the data is the user's" owner_is $data "builder:livepatchers 750"
expect "the cache is the user's" owner_is $cache "builder:livepatchers 750"
expect "the log is the user's" owner_is $log "builder:livepatchers 640"
expect "nothing in there is anybody else's" is "$(find $data $cache ! -user builder -o ! -group livepatchers)" ""
expect "it stops" rc-service $service stop
expect "and nothing of it stays" nothing_stays builder

echo "== further options"
echo 'ELIVEPATCH_SERVER_OPTIONS="-H 127.0.0.1 -P 5000"' >> $conf_d
expect "it starts" rc-service $service start
expect "it listens where they say" wait_for healthy 5000
expect "and nowhere else" refused 8420
expect "it stops" rc-service $service stop
expect "and nothing of it stays" refused 5000

echo "== a config that cannot be used"
echo 'listen = "nowhere"' > $config
expect "it is started, for the supervisor does not look" rc-service $service start
# Six times, with ten seconds between them.
given_up() { not pgrep --exact supervise-daemo; }
expect "it is tried again" status_is started
sleep 45
expect "it is given up after a minute" wait_for given_up
expect "OpenRC knows" not status_is started
expect "the log says why, once for each time" is "$(grep -c 'nowhere' $log)" 6

echo "openrc-guest: all of it"
