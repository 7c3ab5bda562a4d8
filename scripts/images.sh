#!/bin/sh
# Makes a container image of the server, with the worker that is in its process, into target/images: from the Debian
# package and this machine's archive, without a registry.
#
# usage: scripts/images.sh [--with buildah|umoci] [PACKAGE.deb]
#   --with        what makes the image; else buildah where it is installed and works, or umoci
#   PACKAGE.deb   the package of the server; else the one in target/packages (make packages)
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
usage() { sed -n 's/^# \{0,1\}//; 5,7p' "$0" >&2; exit 2; }

become_root scripts/images.sh "$@"
maker=
package=
while [ $# -gt 0 ]; do
    case $1 in
        --with)
            [ $# -ge 2 ] || usage
            maker=$2
            shift
            ;;
        -*) usage ;;
        *) package=$1 ;;
    esac
    shift
done
case $maker in '' | buildah | umoci) ;; *) usage ;; esac
if [ -z "$package" ]; then
    for package in target/packages/elivepatch-server_*.deb; do :; done
fi
[ -f "$package" ] || fail "there is no package of the server: $package" "make packages"

output=$PWD/target/images
version=$(dpkg-deb --field "$package" Version)
image=$output/elivepatch-server.tar
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$output"

# buildah keeps its own things where this ends: nothing of the machine's images is touched.
own_buildah() { buildah --root "$place/storage" --runroot "$place/run" --storage-driver vfs "$@"; }
if [ -z "$maker" ]; then
    maker=umoci
    if command -v buildah >/dev/null && tried=$(own_buildah from scratch 2>/dev/null); then
        own_buildah rm "$tried" >/dev/null
        maker=buildah
    fi
fi
[ "$maker" = buildah ] || install_packages umoci skopeo
command -v "$maker" >/dev/null || fail "$maker is not here" "apt-get install $maker"

say "a Debian with elivepatch-server $version"
# Users and directories are made without systemd, which would never run there.
cp "$package" "$place/elivepatch-server.deb"
# shellcheck disable=SC2016 # mmdebstrap says which directory it is
debian_root "$place/root.tar" \
    "systemd-standalone-sysusers,systemd-standalone-tmpfiles,ca-certificates,$place/elivepatch-server.deb" \
    --hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount \
    --customize-hook='chroot "$1" systemd-tmpfiles --create elivepatch-server.conf' \
    --customize-hook='sed -i "s/^#listen = .*/listen = \"0.0.0.0:8420\"/" "$1/etc/elivepatch/server.toml"' \
    --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/resolv.conf" "$1/etc/hostname"'

# Commands that are run in the container beside the server look for the config where XDG_CONFIG_HOME says, for they are
# not root. The server itself names it, so that it does not start without.
config=/etc/elivepatch/server.toml
config_home=XDG_CONFIG_HOME=/etc
created=$(date --utc --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%dT%H:%M:%SZ)
rm -f "$image"
case $maker in
    buildah)
        say "the image, by buildah"
        container=$(own_buildah from scratch)
        own_buildah add --quiet "$container" "$place/root.tar" / >/dev/null
        own_buildah config --user elivepatch --port 8420/tcp --workingdir / --env "$config_home" \
            --entrypoint '["/usr/bin/elivepatch-server"]' --cmd "--config $config" \
            --volume /var/lib/elivepatch-server --volume /var/cache/elivepatch-server \
            --label "org.opencontainers.image.version=$version" \
            --label org.opencontainers.image.licenses=GPL-3.0-or-later "$container"
        own_buildah commit --quiet --rm "$container" \
            "oci-archive:$image:localhost/elivepatch-server:latest" >/dev/null
        ;;
    umoci)
        say "the image, by umoci"
        umoci init --layout "$place/layout"
        umoci new --image "$place/layout:server"
        umoci raw add-layer --image "$place/layout:server" "$place/root.tar"
        umoci config --image "$place/layout:server" --created "$created" --architecture amd64 --os linux \
            --config.user elivepatch --config.exposedports 8420/tcp --config.workingdir / \
            --config.env "$config_home" --config.entrypoint /usr/bin/elivepatch-server \
            --config.cmd --config --config.cmd "$config" \
            --config.volume /var/lib/elivepatch-server --config.volume /var/cache/elivepatch-server \
            --config.label "org.opencontainers.image.version=$version" \
            --config.label org.opencontainers.image.licenses=GPL-3.0-or-later
        skopeo --insecure-policy copy --quiet "oci:$place/layout:server" \
            "oci-archive:$image:localhost/elivepatch-server:latest"
        ;;
esac
ls -l "$image"
echo "load it with: podman load --input $image"
