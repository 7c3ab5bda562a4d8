#!/bin/sh
# Makes the container images of server and worker, looks at what is in them, and does with them what docs/install.md
# shows, by podman and podman-compose, in a network and a list of processes of their own. Of the machine's images and
# containers nothing is touched; target/images has the images that were tested.
#
# usage: scripts/test-images.sh [--with buildah|umoci] [PACKAGE.deb]
#   --with        what makes the images, as scripts/images.sh takes it
#   PACKAGE.deb   the package of the server; else the one in target/packages (make packages)
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

if [ "${1:-}" != --inside ]; then
    become_root scripts/test-images.sh "$@"
    maker=
    package=
    while [ $# -gt 0 ]; do
        case $1 in
            --with) [ $# -ge 2 ] && maker=$2 && shift ;;
            -*) false ;;
            *) package=$1 ;;
        esac || { sed -n 's/^# \{0,1\}//; 6,8p' "$0" >&2; exit 2; }
        shift
    done
    if [ -z "$package" ]; then
        for package in target/packages/elivepatch-server_*.deb; do :; done
    fi
    [ -f "$package" ] || fail "there is no package of the server: $package" "make packages"
    install_packages mmdebstrap podman podman-compose crun containernetworking-plugins iptables iproute2 skopeo jq curl \
        libcap2-bin
    [ "$maker" != buildah ] || install_packages buildah
    scripts/images.sh ${maker:+--with "$maker"} "$package"

    place=$(mktemp -d)
    inside=
    # Whatever was started inside ends with its first process, and with it every mount and the network.
    clean_up() {
        [ -z "$inside" ] || { kill -KILL "$inside" 2>/dev/null || true; wait "$inside" 2>/dev/null || true; }
        rm -rf "$place" || { sleep 1; rm -rf "$place"; }
    }
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    mkdir -p /var/lib/cni /var/lib/containers
    unshare --mount --net --pid --fork --kill-child --mount-proc "$0" --inside "$place" "$package" < /dev/null &
    inside=$!
    status=0
    wait "$inside" || status=$?
    inside=
    exit "$status"
fi

place=$2
package=$3
image=target/images/elivepatch-server.tar
worker_image=target/images/elivepatch-worker.tar
compose=packaging/oci/compose.yaml
worker_compose=packaging/oci/worker.compose.yaml
name=localhost/elivepatch-server:latest
worker_name=localhost/elivepatch-worker:latest

. scripts/expect.sh
equal() { [ "$1" = "$2" ] || { printf 'it is: %s\nnot:   %s\n' "$1" "$2"; return 1; }; }
empty() { [ -z "$1" ] || { printf '%s\n' "$1"; return 1; }; }

say "what the image says of itself"
skopeo inspect --config "oci-archive:$image" > "$place/image.json"
of_image() { jq --raw-output ".config | $1" "$place/image.json"; }
# in_compose KEY: the entries of a list in the compose file.
in_compose() { sed -n "/^    $1:/,/^    [a-z]/s/^ *- //p" "$compose" | tr -d '"'; }
user=$(of_image '.User // ""')
expect "it runs as a user that is not root" \
    sh -c "case '$user' in '' | root | root:* | 0 | 0:*) exit 1 ;; esac"
expect "its program is the server" equal "$(of_image '.Entrypoint | join(" ")')" /usr/bin/elivepatch-server
expect "which starts with its config only" equal "$(of_image '.Cmd | join(" ")')" "--config /etc/elivepatch/server.toml"
port=$(of_image '.ExposedPorts | keys | join(" ")')
expect "its port is the one that the compose file publishes" equal "$port" "$(in_compose ports | cut -d : -f 2)/tcp"
port=${port%/tcp}
volumes=$(of_image '.Volumes | keys | .[]' | sort)
expect "so are its volumes" equal "$volumes" "$(in_compose volumes | sed 's/^[^:]*://' | grep ^/ | sort)"
expect "its version is that of the package" \
    equal "$(of_image '.Labels["org.opencontainers.image.version"]')" "$(dpkg-deb --field "$package" Version)"
expect "it has its licence" equal "$(of_image '.Labels["org.opencontainers.image.licenses"]')" GPL-3.0-or-later
expect "it is for this kind of machine" equal "$(jq --raw-output '.os + "/" + .architecture' "$place/image.json")" \
    "linux/$(dpkg --print-architecture)"
# Not the proxy, the language or the home of who made it.
expect "nothing else is in its environment" equal "$(of_image '.Env | map(select(test("^PATH=") | not)) | join(" ")')" \
    XDG_CONFIG_HOME=/etc
expect "it is stopped by SIGTERM" equal "$(of_image '.StopSignal // ""')" ''
# The worker's is the same Debian; only what is started is another thing.
skopeo inspect --config "oci-archive:$worker_image" > "$place/worker.json"
for file in image worker; do
    jq '{os, architecture, rootfs, config: (.config | del(.Cmd, .ExposedPorts))}' "$place/$file.json" > "$place/$file.same"
done
expect "the worker's image has the same system, user, volumes and labels" \
    cmp "$place/image.same" "$place/worker.same"
expect "it builds for another server" \
    equal "$(jq --raw-output '.config.Cmd | join(" ")' "$place/worker.json")" "worker --config /etc/elivepatch/server.toml"
expect "and has no port" equal "$(jq --raw-output '.config.ExposedPorts // {} | length' "$place/worker.json")" 0

# podman's own state, of which nothing is the machine's. /dev/shm has its locks.
for directory in /run /dev/shm /var/lib/cni /var/lib/containers; do
    mount -t tmpfs tmpfs "$directory"
done
# crun takes no machine that has both kinds of control groups; none are needed here.
! mountpoint --quiet /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
ip link set lo up
cat > "$place/storage.conf" <<SETTINGS
[storage]
driver = "vfs"
graphroot = "$place/storage"
runroot = "$place/run"
SETTINGS
# As many files and processes as may be had here: podman asks for a million.
files=$(ulimit -H -n | sed 's/unlimited/65536/')
processes=$(ulimit -H -p | sed 's/unlimited/65536/')
cat > "$place/containers.conf" <<SETTINGS
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
[network]
network_config_dir = "$place/networks"
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
SETTINGS
export CONTAINERS_STORAGE_CONF="$place/storage.conf" CONTAINERS_CONF="$place/containers.conf"
unset CONTAINER_HOST XDG_RUNTIME_DIR COMPOSE_FILE COMPOSE_PROJECT_NAME 2>/dev/null || true

# The compose files as they are, but for these: not every machine can give what it says.
for file in "$compose" "$worker_compose"; do
    sed "s/^      nofile: .*/      nofile: $files\n      nproc: $processes/" "$file" > "$place/${file##*/}"
done

# shown PATTERN: the commands of docs/install.md, below Containers, that begin so, each in one line.
shown() {
    awk '/^## /{ here = $2 == "Containers" } /^```/{ block = !block; next } here && block' docs/install.md |
        sed -e ':more; /\\$/{ N; s/\\\n */ /; b more }' | grep -- "^$1"
}
# as_shown PATTERN: runs them, with the compose files of above.
as_shown() {
    shown "$1" > "$place/shown"
    sed "s,packaging/oci/,$place/,g" "$place/shown" > "$place/script"
    [ "$(wc -l < "$place/script")" -eq 1 ] || { cat "$place/script"; echo "this is not one command"; return 1; }
    sh -e "$place/script" > "$place/output" 2>&1 || { cat "$place/output"; return 1; }
    cat "$place/output"
    # podman-compose ends well whatever podman says.
    ! tr -d '\r' < "$place/output" | grep -q '^exit code: [1-9]'
}

say "what is in the image"
expect "podman loads it as docs/install.md shows" as_shown 'podman load .*-server'
expect "under the name that the compose file has" equal "$name" "$(sed -n 's/^    image: //p' "$compose")"
root=$(podman image mount "$name") || fail "podman does not read the image" "podman info"
expect "its user is no other name for root" \
    sh -c "awk -F : -v user='$user' '\$1 == user && \$3 > 0 { found = 1 } END { exit !found }' '$root/etc/passwd'"
expect "its user cannot become another one by a password" \
    empty "$(awk -F : '$2 !~ /^[!*]/' "$root/etc/shadow")"
for volume in $volumes; do
    expect "$volume is there, its user's" \
        equal "$(chroot "$root" stat --format='%U %a' "$volume")" "$user 750"
    expect "$volume is in the config" grep -q "_directory = \"$volume\"\$" "$root/etc/elivepatch/server.toml"
done
expect "the config has the port" grep -q "^listen = \"0.0.0.0:$port\"" "$root/etc/elivepatch/server.toml"
expect "there is no token, key or certificate in it" \
    empty "$(for volume in $volumes; do find "$root$volume" -mindepth 1; done)"
# Those of Debian's smallest system, which no-new-privileges makes useless; and one of GStreamer, which QEMU brings.
known='usr/bin/chage usr/bin/chfn usr/bin/chsh usr/bin/expiry usr/bin/gpasswd usr/bin/mount usr/bin/newgrp
usr/bin/passwd usr/bin/su usr/bin/umount usr/sbin/unix_chkpwd'
others() { grep -v -x -F -e "$(echo "$known" | tr ' ' '\n')" || true; }
expect "no program is setuid but those of Debian's smallest system" \
    empty "$(cd "$root" && find . -xdev -type f -perm /6000 | sed 's,^\./,,' | others)"
expect "no program has capabilities but GStreamer's for clocks" \
    empty "$(cd "$root" && getcap -r . 2>/dev/null | grep -v '/gst-ptp-helper ' || true)"
expect "nothing can be written by everybody" \
    empty "$(find "$root" -xdev ! -type l -perm -o+w ! -perm -o+t ! -type c)"
expect "no file of the machine's network is in it" \
    empty "$(ls "$root/etc/resolv.conf" "$root/etc/hostname" 2>/dev/null)"
expect "apt has no proxy, and nothing else of how this machine fetches" \
    not grep -r '^[^/#]*Acquire' "$root/etc/apt"
expect "apt has no password" empty "$(ls "$root/etc/apt/auth.conf" "$root"/etc/apt/auth.conf.d/* 2>/dev/null
    grep -r -E '://[^/ ]*@' "$root/etc/apt" || true)"
expect "apt has no lists and no packages" \
    empty "$(find "$root/var/lib/apt/lists" "$root/var/cache/apt" -type f ! -name lock)"
expect "nothing is left where it was made" empty "$(find "$root/tmp" "$root/var/tmp" "$root/root" "$root/run" -type f \
    ! -name .bashrc ! -name .profile)"
podman image unmount "$name" > /dev/null

say "the compose file, by podman-compose"
# in_server COMMAND…: in the container of the compose file, as the image's user.
in_server() { podman exec "$container" "$@"; }
status_of() { podman exec "$container" sed -n "s/^$1:[[:space:]]*//p" /proc/1/status; }
expect "it is up as docs/install.md shows" as_shown "podman-compose --file $compose up"
container=$(podman ps --all --quiet | head -n 1)
expect "there is a container" [ -n "$container" ]
health() { curl --silent --fail --insecure "https://localhost:$port/api/v2/health"; }
expect "it answers on the published port" wait_for health
expect "it is healthy, and so is its worker" sh -c "curl --silent --fail --insecure \
    https://localhost:$port/api/v2/health | jq --exit-status '.state == \"ok\" and (.workers | length) > 0'"
expect "it runs as the image's user" equal "$(in_server id --user --name)" "$user"
expect "and so does the server" equal "$(in_server stat --format=%U /proc/1)" "$user"
expect "it can have no capability" equal "$(status_of CapBnd) $(status_of CapPrm)" "0000000000000000 0000000000000000"
expect "nor any new privilege" equal "$(status_of NoNewPrivs)" 1
expect "it has made the sandbox of its builds" \
    sh -c "podman logs '$container' 2>&1 | grep \"sandbox: bubblewrap as the server's own user\""
expect "bases are shared by overlay" sh -c "podman logs '$container' 2>&1 | grep 'bases are shared by overlay'"

# What is documented in two places is the same.
command=$(shown 'podman-compose .* exec' | sed -n 's/.* exec server //p')
expect "the compose file has the command for a token as docs/install.md has it" grep -q "exec server $command\$" "$compose"
expect "the token is made as docs/install.md shows" as_shown 'podman-compose .* exec server'
# A terminal ends lines by a carriage return; podman-compose says what it does.
token=$(tr -d '\r' < "$place/said" | grep -o -E '\belp_[A-Za-z0-9_-]+|\b[A-Za-z0-9_-]{32,}\b' | tail -n 1) || token=
expect "it is printed" [ -n "$token" ]
expect "the server has it" sh -c "podman exec '$container' elivepatch-server token list | grep admin"
in_server cat /var/lib/elivepatch-server/tls/certificate.pem > "$place/certificate.pem"
# ask PATH OPTION…: the API on the published port, of the server that has this certificate.
ask() {
    path=$1
    shift
    curl --silent --show-error --fail --cacert "$place/certificate.pem" "$@" "https://localhost:$port/api/v2/$path"
}
expect "it answers who has the token" ask builds --header "authorization: Bearer $token"
expect "with an administrator's rights" ask audit --header "authorization: Bearer $token"
refused() { equal "$(ask builds --output /dev/null --write-out '%{http_code}' "$@" 2>/dev/null || true)" 401; }
expect "and nobody without one" refused
expect "nor with a wrong one" refused --header "authorization: Bearer ${token}x"
expect "check-config is content beside it" in_server elivepatch-server check-config
cp "$place/said" "$place/checked"
expect "with the config of the image" grep "^config file: */etc/elivepatch/server.toml" "$place/checked"
expect "and can make the sandbox" grep "sandbox: bubblewrap" "$place/checked"
volume_of() {
    podman volume inspect --format '{{.Mountpoint}}' "$(podman inspect --format \
        "{{range .Mounts}}{{if eq .Destination \"$1\"}}{{.Name}}{{end}}{{end}}" "$container")"
}
expect "the data is in its volume" ls "$(volume_of /var/lib/elivepatch-server)/elivepatch.sqlite3"
expect "so is the cache" [ -d "$(volume_of /var/cache/elivepatch-server)" ]
expect "what was written can be listed" podman diff --format json "$container"
cp "$place/said" "$place/written"
# What podman itself makes.
expect "nothing is written beside the volumes" \
    empty "$(jq --raw-output '(.changed // []) + (.added // []) | .[]' "$place/written" |
        grep -v -x -E '/(etc|run|proc|sys|dev)|/run/\.containerenv|/etc/(mtab|hosts|hostname|resolv\.conf)' || true)"

composed() { podman-compose --file "$place/compose.yaml" "$@"; }
# ended_well CONTAINER: by itself, after SIGTERM.
ended_well() { equal "$(podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$1")" "exited 0"; }
# at_boot: what podman-restart.service starts, by its own command.
podman_restart=/usr/lib/systemd/system/podman-restart.service
at_boot() { LOGGING=--log-level=error sh -c "$(sed -n 's/^ExecStart=//p' "$podman_restart")"; }
expect "it is stopped" composed stop
expect "by itself, and ends well" ended_well "$container"
expect "podman-restart starts what is to be started at boot" at_boot
expect "it answers again" wait_for health
expect "it is stopped once more" composed stop
expect "and ends well" ended_well "$container"
expect "the container is removed" composed down
expect "a new one is up" as_shown "podman-compose --file $compose up"
expect "which answers" wait_for health
expect "it has the token of the old one" ask builds --header "authorization: Bearer $token"
expect "it is removed, too" composed down
expect "none is left" empty "$(podman ps --all --quiet)"

say "by hand"
expect "it is started as docs/install.md shows" as_shown 'podman run'
container=elivepatch
expect "it answers" wait_for health
expect "it can have no capability, either" equal "$(status_of CapBnd) $(status_of NoNewPrivs)" "0000000000000000 1"
expect "a command finds its config" in_server elivepatch-server token create --role admin

say "a worker, for that server"
expect "podman loads it as docs/install.md shows" as_shown 'podman load .*-worker'
expect "under the name that the compose file has" equal "$worker_name" "$(sed -n 's/^    image: //p' "$worker_compose")"
in_worker_compose() { sed -n "/^    $1:/,/^    [a-z]/s/^ *- //p" "$worker_compose"; }
expect "which is as closed as the server's" \
    equal "$(in_worker_compose cap_drop; in_worker_compose security_opt)" "$(in_compose cap_drop; in_compose security_opt)"
expect "and has its volumes" equal "$(in_worker_compose volumes | sed 's/^[^:]*://' | grep ^/ | grep -v : | sort)" "$volumes"
# What the reader writes. The server is reached by an address of this machine, as from another one.
address=$(ip -4 -oneline address show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
expect "this machine has an address that is not its own only" [ -n "$address" ]
fingerprint=$(podman exec "$container" elivepatch-server certificate 2>/dev/null)
(
    umask 077
    podman exec "$container" elivepatch-server token create --role worker --name builder-1 2>/dev/null \
        > "$place/worker.token"
)
{
    podman exec "$container" cat /etc/elivepatch/server.toml
    printf '\n[worker]\nserver = "https://%s:%s"\ncertificate = "%s"\ntoken_file = "/etc/elivepatch/worker.token"\n' \
        "$address" "$port" "$fingerprint"
    printf 'name = "builder-1"\n'
} > "$place/server.toml"
expect "the files are given to the image's user as docs/install.md shows" as_shown 'chown'
expect "and to nobody else" as_shown 'chmod'
group=$(stat --format=%g "$place/worker.token")
expect "the group is not root's" not equal "$group" 0
expect "the files are not for others" \
    equal "$(stat --format='%u %a' "$place/worker.token" "$place/server.toml" | uniq)" "0 640"
up_worker="podman-compose --file $worker_compose up"
expect "it is up as docs/install.md shows" as_shown "$up_worker"
worker=$(podman ps --all --quiet --filter "ancestor=$worker_name" | head -n 1)
expect "there is a container" [ -n "$worker" ]
taken() { podman logs "$worker" 2>&1 | grep "the server takes this worker"; }
expect "the server takes it, over HTTPS" wait_for taken
expect "and lists it as one that asks for work" sh -c "curl --silent --fail --insecure \
    https://localhost:$port/api/v2/health | jq --exit-status '.workers | map(.name) | index(\"builder-1-1\") != null'"
status_of_worker() { podman exec "$worker" sed -n "s/^$1:[[:space:]]*//p" /proc/1/status; }
expect "it runs as the image's user" equal "$(podman exec "$worker" id --user --name)" "$user"
expect "it can have no capability" \
    equal "$(status_of_worker CapBnd) $(status_of_worker CapPrm)" "0000000000000000 0000000000000000"
expect "nor any new privilege" equal "$(status_of_worker NoNewPrivs)" 1
expect "it has made the sandbox of its builds" \
    sh -c "podman logs '$worker' 2>&1 | grep \"sandbox: bubblewrap as the server's own user\""
expect "bases are shared by overlay" sh -c "podman logs '$worker' 2>&1 | grep 'bases are shared by overlay'"
composed_worker() { podman-compose --file "$place/worker.compose.yaml" "$@"; }
expect "it is stopped" composed_worker stop
expect "by itself, and ends well" ended_well "$worker"
expect "it is started at boot, too" \
    equal "$(podman inspect --format '{{.HostConfig.RestartPolicy.Name}}' "$worker")" always
expect "it is removed" composed_worker down
podman exec "$container" elivepatch-server token create --role submit > "$place/worker.token" 2>/dev/null
expect "it is started with a token of another role" \
    not podman run --rm --cap-drop all --security-opt no-new-privileges --security-opt seccomp=unconfined \
    --security-opt unmask=ALL --volume "$place/server.toml:/etc/elivepatch/server.toml:ro" \
    --volume "$place/worker.token:/etc/elivepatch/worker.token:ro" "$worker_name"
cp "$place/said" "$place/refused"
expect "and ends with the reason" grep "this needs the role worker; the token has the role submit" "$place/refused"

say "the end of the server"
expect "it ends by SIGTERM" podman kill --signal TERM "$container"
ended() { [ "$(podman inspect --format '{{.State.Running}}' "$container")" = false ]; }
expect "at once" wait_for ended
expect "and well" equal "$(podman inspect --format '{{.State.ExitCode}}' "$container")" 0
podman rm --force "$container" > /dev/null

say "without what the compose file says of profiles"
expect "a command can stand behind the image's name" podman run --rm --network none "$name" token --help
expect "the server does not start" not podman run --rm --network none "$name"
cp "$place/said" "$place/refused"
expect "and says that there can be no sandbox" grep "cannot make a sandbox" "$place/refused"

[ "$failures" -eq 0 ] || fail "$failures things are not as they should be" "they are marked WRONG above"
printf '\ntest-images: the images are as they should be, and do what docs/install.md shows\n'
