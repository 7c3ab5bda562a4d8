#!/bin/sh
# Makes the packages for Debian and for distributions with RPM, into target/packages, and checks them.
#
# usage: scripts/packages.sh [CLIENT SERVER]
#   CLIENT SERVER   programs that were built already: the static client (make client) and elivepatch-server; without
#                   them both are built
#
# DEBFULLNAME and DEBEMAIL are who the packages are by, as Debian's own tools have it.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
use_cargo

case $# in
    0 | 2) ;;
    *) sed -n 's/^# \{0,1\}//; 4,6p' "$0" >&2; exit 2 ;;
esac
for program; do
    [ -x "$program" ] || fail "$program is no program" "make client, or leave the programs out to have them built"
done

# All of both packages' files have this time, so that the same source gives the same packages.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=$(date +%s)
export SOURCE_DATE_EPOCH
output=$PWD/target/packages
# What the packages take from target/release, made ready there: cargo-deb and cargo-generate-rpm put this directory in
# the place of target.
ready=$output/ready
maintainer=
[ -z "${DEBEMAIL:-}" ] || maintainer="${DEBFULLNAME:-elivepatch} <$DEBEMAIL>"

install_packages binutils dpkg-dev lintian rpm

cargo_deb=$(cargo_program cargo-deb 3.8.0)
cargo_generate_rpm=$(cargo_program cargo-generate-rpm 0.21.1)

if [ $# -eq 2 ]; then
    client=$1
    server=$2
else
    say "building the client, static and small, and the server"
    client=$(static_client client)
    cargo build --release --locked --bin elivepatch-server
    server=${CARGO_TARGET_DIR:-$PWD/target}/release/elivepatch-server
fi

# Packages of RPM have the times of files that are older than that: a clone's are when it was made.
find packaging docs LICENSE CHANGELOG.md README.md -type f -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

rm -rf "$output"
mkdir -p "$ready/release"
strip -o "$ready/release/elivepatch" "$client"
strip -o "$ready/release/elivepatch-server" "$server"
# What the first elivepatch's client was called: as this the program loads what it has built.
ln -s elivepatch "$ready/release/elivepatch-client"
version=$(workspace_version)

for program in elivepatch elivepatch-server; do
    documents "$ready/release/$program" "$ready/release"
done
# A page must not name one that is not there.
for page in "$ready"/release/man/man?/*; do
    for other in $(sed -n '/^\.SH "SEE ALSO"/,/^\.SH/p' "$page" | grep -o 'elivepatch[a-z\\-]*\\fR([18])' |
        sed 's/\\fR(/./; s/)//; s/\\//g'); do
        [ -e "$ready/release/man/man${other##*.}/$other" ] ||
            fail "${page##*/} names the page $other, which is not there" "look at src/manual of the program"
    done
done
gzip --no-name --best "$ready"/release/man/man?/*
ln -s elivepatch.1.gz "$ready/release/man/man1/elivepatch-client.1.gz"

# Debian's form of a changelog; what users see is in CHANGELOG.md, which is in the packages, too.
for package in elivepatch elivepatch-server; do
    printf '%s (%s-1) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' "$package" "$version" \
        "${maintainer:-The elivepatch authors <elivepatch@localhost>}" \
        "$(LC_ALL=C date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")" |
        gzip --no-name --best > "$ready/release/$package.changelog.gz"
done

# Every key of the config with its default, as the server itself writes it.
settings=$(mktemp -d)
trap 'rm -rf "$settings"' EXIT
"$ready/release/elivepatch-server" init --config "$settings/server.toml" --data-directory "$settings/data" \
    --cache-directory "$settings/cache" > /dev/null
sed -e "s,^data_directory = .*,#data_directory = \"/var/lib/elivepatch-server\"," \
    -e "s,^cache_directory = .*,#cache_directory = \"/var/cache/elivepatch-server\"," \
    "$settings/server.toml" > "$ready/release/server.toml"
! grep -q "$settings" "$ready/release/server.toml" ||
    fail "the config names a temporary directory" "look at $ready/release/server.toml"

for package in elivepatch elivepatch-server-bin; do
    say "Debian package of $package"
    CARGO_TARGET_DIR=$ready "$cargo_deb" --package "$package" --no-build --no-strip --locked \
        ${maintainer:+--maintainer "$maintainer"} --output "$output/" >&2
done
for package in elivepatch elivepatch-server; do
    say "RPM package of $package"
    "$cargo_generate_rpm" --package "bin/$package" --target-dir "$ready" --output "$output/" >&2
done
rm -rf "$ready"

say "what lintian says"
as_user=
[ "$(id -u)" -ne 0 ] || as_user=--allow-root
lintian $as_user --profile debian --fail-on error,warning --tag-display-limit 0 "$output"/*.deb ||
    fail "lintian found something" "mend it, or justify it in packaging/debian/PACKAGE/lintian-overrides"

# contents PACKAGE.rpm: its files but for manual and documentation, with mode, owner and flags, and what it requires but
# for the C library.
contents() {
    rpm --query --package "$1" \
        --queryformat '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES} %{FILEFLAGS:fflags}\n]' |
        grep -v -e ' /usr/share/man/' -e ' /usr/share/doc/' | sed 's/ $//'
    rpm --query --requires --package "$1" | sed 's/ = .*//' |
        grep -v -e '^rpmlib(' -e '^rtld(' -e '^ld-linux' -e '^lib[a-z_]*\.so' | sort -u | sed 's/^/requires: /'
}
for package in elivepatch elivepatch-server; do
    for file in "$output/$package"-[0-9]*.rpm; do :; done
    say "what is in ${file##*/}"
    contents "$file" > "$settings/contents"
    diff -u "packaging/rpm/$package.contents" "$settings/contents" ||
        fail "the RPM package $package has other contents than packaging/rpm/$package.contents says" \
            "mend the package, or that file where it is meant"
    for page in "$package" "$package-completions"; do
        rpm --query --list --package "$file" | grep -q "^/usr/share/man/man[18]/$page\.[18]\.gz$" ||
            fail "the RPM package $package has no manual page $page" "see its assets in Cargo.toml"
    done
    for script in POSTIN PREUN POSTUN; do
        rpm --query --package "$file" --queryformat "%{$script}" > "$settings/script"
        grep -q systemctl "$settings/script" || fail "$package has no script $script" "see its Cargo.toml"
        sh -n "$settings/script" || fail "the script $script of $package cannot be read" "mend it in packaging/rpm"
    done
    # The digests of header and content; it is not signed.
    rpm --checksig --nosignature "$file"
done
ls -l "$output"
