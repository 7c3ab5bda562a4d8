#!/bin/sh
# Makes a release, into target/dist: the programs, the packages, the source, lists of what is in them, and checksums.
# The same commit gives the same bytes, wherever it is made (docs/install.md, Releases); test-dist.sh compares.
#
# usage: scripts/dist.sh [--dirty]
#   --dirty   go on with changes that are not committed; the release's source then lacks them
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
use_cargo

dirty=no
case $#:${1:-} in
    0:) ;;
    1:--dirty) dirty=yes ;;
    *) sed -n 's/^# \{0,1\}//; 5,6p' "$0" >&2; exit 2 ;;
esac
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) || fail "this is no clone of the repository" "git clone it"
export SOURCE_DATE_EPOCH
changes=$(git status --porcelain --untracked-files=normal)
if [ -n "$changes" ] && [ "$dirty" = no ]; then
    printf '%s\n' "$changes" >&2
    fail "there are changes that are not committed: they would not be in the release's source" \
        "git commit them, git stash --include-untracked, or scripts/dist.sh --dirty"
fi
# A space ends a flag of the C compiler.
case $PWD$HOME${CARGO_TARGET_DIR:-}${CARGO_HOME:-} in
    *[[:space:]]*) fail "there is a space in the path of this directory, of the home or of cargo's" "move the clone" ;;
esac

# Neither the language nor the rights of who makes it may be seen.
umask 022
export LC_ALL=C TZ=UTC
target=x86_64-unknown-linux-gnu
version=$(workspace_version)
# Apart from what is compiled for tests: cargo does not see that the paths in that are others.
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/dist-build
export CARGO_TARGET_DIR CARGO_INCREMENTAL=0
mkdir -p "$CARGO_TARGET_DIR"

install_packages binutils git gzip python3

# Where sources are on this machine, and how that is called in the release. Of several that fit, compilers take the
# last.
cargo fetch --quiet --locked
cargo_home=${CARGO_HOME:-$HOME/.cargo}
rust=$(rustc --print sysroot)/lib/rustlib/src/rust
commit=$(rustc --version --verbose | sed -n 's/^commit-hash: //p')
places="$cargo_home=/cargo"
for registry in "$cargo_home"/registry/src/*; do
    places="$places $registry=/crates"
done
places="$places $rust=/rustc/$commit $PWD=/elivepatch $CARGO_TARGET_DIR=/build"
arguments=
CFLAGS=
for place in $places; do
    arguments="$arguments--remap-path-prefix=$place
"
    CFLAGS="$CFLAGS -ffile-prefix-map=$place"
done
# cargo does not see either that other arguments want everything compiled again.
ELIVEPATCH_DIST_ARGUMENTS=$CARGO_TARGET_DIR/rustc-arguments
if [ "$(cat "$ELIVEPATCH_DIST_ARGUMENTS" 2>/dev/null)
" != "$arguments" ]; then
    rm -rf "${CARGO_TARGET_DIR:?}"
    mkdir -p "$CARGO_TARGET_DIR"
    printf '%s' "$arguments" > "$ELIVEPATCH_DIST_ARGUMENTS"
fi
RUSTC_WRAPPER=$PWD/scripts/remapped-rustc.sh
export ELIVEPATCH_DIST_ARGUMENTS CFLAGS RUSTC_WRAPPER
# What else a user may have set would be seen in the programs. Empty, it wins over what cargo's config files say.
unset CARGO_ENCODED_RUSTFLAGS CXXFLAGS
export RUSTFLAGS=

say "compiling the client, static and small"
client=$(static_client client)
say "compiling the server"
cargo build --release --locked --package elivepatch-server-bin --bin elivepatch-server
server=$CARGO_TARGET_DIR/release/elivepatch-server
unset RUSTC_WRAPPER CFLAGS RUSTFLAGS

output=$PWD/target/dist
work=$CARGO_TARGET_DIR/work
rm -rf "$work" "$output"
mkdir -p "$work/source" "$work/dist" "$work/programs"
strip -o "$work/programs/elivepatch" "$client"
strip -o "$work/programs/elivepatch-server" "$server"

say "looking for directories of this machine in the programs"
for program in elivepatch elivepatch-server; do
    strings "$work/programs/$program" > "$work/strings"
    for directory in "$PWD" "$CARGO_TARGET_DIR" "$cargo_home" "$HOME/." "$(rustc --print sysroot)"; do
        if found=$(grep -F -m 5 -e "$directory" "$work/strings"); then
            printf '%s\n' "$found" >&2
            fail "$program names a directory of this machine: $directory" \
                "see which crate it is from, and add the directory to places in scripts/dist.sh"
        fi
    done
done

say "the packages"
scripts/packages.sh "$client" "$server"
cp target/packages/*.deb target/packages/*.rpm "$work/dist"

say "the programs, their manual and the source"
cp "$work/programs/elivepatch" "$work/dist/elivepatch-$version-x86_64-linux-static"
cp "$work/programs/elivepatch-server" "$work/dist/elivepatch-server-$version-x86_64-linux"
for program in elivepatch elivepatch-server; do
    documents "$work/programs/$program" "$work/elivepatch-manual-$version"
done
# Without users and times. Not through a pipe: sh sees only the end of its last command.
tar --create --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --mode=go=rX,u+rw,a-s --directory "$work" "elivepatch-manual-$version" > "$work/manual.tar"
gzip --no-name --best < "$work/manual.tar" > "$work/dist/elivepatch-manual-$version.tar.gz"
git archive --format=tar --prefix="elivepatch-$version/" HEAD > "$work/source.tar"
gzip --no-name --best < "$work/source.tar" > "$work/dist/elivepatch-$version.tar.gz"

say "what each program is compiled of"
cargo_cyclonedx=$(cargo_program cargo-cyclonedx 0.5.9)
# It writes beside every Cargo.toml.
tar --extract --directory "$work/source" --strip-components=1 < "$work/source.tar"
[ "$dirty" = no ] || cp Cargo.lock "$work/source"
for program in elivepatch elivepatch-server; do
    package=$program
    [ "$program" = elivepatch ] || package=elivepatch-server-bin
    cargo tree --locked --package "$package" --edges normal --target "$target" --prefix none --format '{p}' \
        > "$work/$program.tree"
    (cd "$work/source" && "$cargo_cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 \
        --target "$target" --no-build-deps --manifest-path "bin/$program/Cargo.toml" \
        --override-filename "$program.sbom")
    scripts/sbom.py make "$work/source/bin/$program/$program.sbom.json" "$work/source" "$work/$program.tree" \
        Cargo.lock "$work/programs/$program" "$work/dist/$program-$version.cdx.json"
done

(cd "$work/dist" && sha256sum -- * > SHA256SUMS)
mv "$work/dist" "$output"
rm -rf "$work"
say "the release $version, of $(git rev-parse HEAD)$([ -z "$changes" ] || echo ' with changes')"
cat "$output/SHA256SUMS"
