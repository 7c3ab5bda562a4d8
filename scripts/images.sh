#!/bin/sh
# Makes two container images into target/images: the server, with the worker that is in its process, and a worker for
# a server elsewhere. Both are of one Debian, made from the package and this machine's archive, without a registry.
#
# usage: scripts/images.sh [--with buildah|umoci] [PACKAGE.deb]
#   --with        what makes the images; else buildah where it is installed and works, or umoci
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
version_label=org.opencontainers.image.version=$version
licence_label=org.opencontainers.image.licenses=GPL-3.0-or-later
program=/usr/bin/elivepatch-server
port=8420/tcp
name_of() { echo "localhost/elivepatch-$1:latest"; }
archive_of() { echo "$output/elivepatch-$1.tar"; }
rm -f "$(archive_of server)" "$(archive_of worker)"
say "the images, by $maker"
case $maker in
    buildah)
        container=$(own_buildah from scratch)
        own_buildah add --quiet "$container" "$place/root.tar" / >/dev/null
        own_buildah config --user elivepatch --workingdir / --env "$config_home" --entrypoint "[\"$program\"]" \
            --volume /var/lib/elivepatch-server --volume /var/cache/elivepatch-server \
            --label "$version_label" --label "$licence_label" "$container"
        own_buildah config --cmd "worker --config $config" "$container"
        own_buildah commit --quiet "$container" "oci-archive:$(archive_of worker):$(name_of worker)" >/dev/null
        own_buildah config --cmd "--config $config" --port "$port" "$container"
        own_buildah commit --quiet --rm "$container" "oci-archive:$(archive_of server):$(name_of server)" >/dev/null
        ;;
    umoci)
        layout=$place/layout
        umoci init --layout "$layout"
        umoci new --image "$layout:both"
        umoci raw add-layer --image "$layout:both" "$place/root.tar"
        umoci config --image "$layout:both" --created "$created" --architecture amd64 --os linux \
            --config.user elivepatch --config.workingdir / --config.env "$config_home" --config.entrypoint "$program" \
            --config.volume /var/lib/elivepatch-server --config.volume /var/cache/elivepatch-server \
            --config.label "$version_label" --config.label "$licence_label"
        umoci config --image "$layout:both" --tag server --created "$created" --config.exposedports "$port" \
            --config.cmd --config --config.cmd "$config"
        umoci config --image "$layout:both" --tag worker --created "$created" \
            --config.cmd worker --config.cmd --config --config.cmd "$config"
        for what in server worker; do
            skopeo --insecure-policy copy --quiet "oci:$layout:$what" "oci-archive:$(archive_of "$what"):$(name_of "$what")"
        done
        ;;
esac
ls -l "$output"
echo "load one with: podman load --input $(archive_of server)"
