#!/bin/sh
# Makes a release twice, as two people on two machines would, and compares the two byte by byte: another directory,
# another target directory, another home with another cargo's, another language, time zone and umask, and a later time.
# The day is the same: compilers hang where libfaketime shows them another one.
#
# usage: scripts/test-dist.sh
#
# What both have compiled stays in target/test-dist for the next time; rm -r target/test-dist has all compiled anew.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
use_cargo
[ $# -eq 0 ] || { sed -n 's/^# \{0,1\}//; 6p' "$0" >&2; exit 2; }

# Both have the programs that make packages.
export ELIVEPATCH_CACHE="$cache_directory"
export RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}"
cargo_home=${CARGO_HOME:-$HOME/.cargo}
place=${CARGO_TARGET_DIR:-$PWD/target}/test-dist
commit=$(git rev-parse HEAD)
first=$place/one
second="$place/second/with-a-longer-name/checkout"
install_packages python3-venv

# clone DIRECTORY: this commit, without what is not committed.
clone() {
    if [ ! -d "$1/.git" ]; then
        mkdir -p "${1%/*}"
        git clone --quiet --no-checkout . "$1"
    fi
    git -C "$1" fetch --quiet "$PWD" HEAD
    git -C "$1" checkout --quiet --force --detach "$commit"
    git -C "$1" clean --quiet --force -d
}
[ -z "$(git status --porcelain)" ] || say "what is not committed is not in the releases that are compared"

say "the first release, in $first"
clone "$first"
(unset CARGO_TARGET_DIR && "$first/scripts/dist.sh")

say "the second release, in $second"
clone "$second"
home=$place/second/home
mkdir -p "$home/cargo"
# The same crates, from another place.
for directory in registry/index registry/cache; do
    mkdir -p "$home/cargo/$directory"
    cp -a --update "$cargo_home/$directory/." "$home/cargo/$directory/"
done
for file in config.toml credentials.toml; do
    [ ! -e "$cargo_home/$file" ] || ln -sf "$cargo_home/$file" "$home/cargo/$file"
done
(
    umask 077
    export HOME="$home" CARGO_HOME="$home/cargo" CARGO_TARGET_DIR="$place/second/target" TZ=Asia/Kathmandu LC_ALL=C.UTF-8
    "$second/scripts/dist.sh"
)

say "what differs"
failures=0
differ() {
    echo "WRONG $1"
    failures=$((failures + 1))
}
one=$first/target/dist
two=$second/target/dist
(cd "$one" && ls) > "$place/one.list"
(cd "$two" && ls) > "$place/two.list"
cmp -s "$place/one.list" "$place/two.list" ||
    { diff "$place/one.list" "$place/two.list" || true; differ "the two releases have other files"; }
while read -r file; do
    if cmp -s "$one/$file" "$two/$file"; then
        echo "ok    $file is the same"
        continue
    fi
    differ "$file differs: $(cmp "$one/$file" "$two/$file" 2>&1 || true)"
    echo "      $(stat --format=%s "$one/$file") and $(stat --format=%s "$two/$file" 2>/dev/null) bytes," \
        "$(cmp -l "$one/$file" "$two/$file" 2>/dev/null | wc -l) of them differ in the same places"
    case $file in
        *.tar.gz)
            mkdir -p "$place/unpacked/one" "$place/unpacked/two"
            tar --extract --file="$one/$file" --directory="$place/unpacked/one"
            tar --extract --file="$two/$file" --directory="$place/unpacked/two"
            diff -r -q "$place/unpacked/one" "$place/unpacked/two" | sed 's/^/      /'
            rm -r "$place/unpacked"
            ;;
        *.deb)
            for each in "$one" "$two"; do dpkg-deb --contents "$each/$file"; done | sort | uniq -u | sed 's/^/      /'
            ;;
        *.json | SHA256SUMS) diff "$one/$file" "$two/$file" | head -n 20 | sed 's/^/      /' ;;
    esac
done < "$place/one.list"

say "what the checksums and lists say"
python=$(python_environment cyclonedx-python-lib 11.12.0 'cyclonedx-python-lib[json-validation]')/bin/python
for list in "$one"/*.cdx.json; do
    # The schema that CycloneDX has published, which comes with its own library.
    "$python" - "$list" <<'END' || differ "${list##*/} is not in the form of CycloneDX 1.5"
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

if error := JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1], encoding="utf-8").read()):
    sys.exit(f"{error}")
END
done
(cd "$one" && sha256sum --quiet --check SHA256SUMS) || differ "SHA256SUMS does not fit"
listed=$(sed 's/^[^ ]*  //' "$one/SHA256SUMS" | LC_ALL=C sort)
[ "$listed" = "$(LC_ALL=C ls "$one" | grep -v -x SHA256SUMS | LC_ALL=C sort)" ] || differ "SHA256SUMS does not name all files"
# What is unpacked is made a tree of git: the same files, modes and links have the same digest. What git stores for that
# goes beside the repository.
for file in "$one"/elivepatch-[0-9]*.tar.gz; do
    rm -rf "$place/unpacked"
    mkdir -p "$place/unpacked/objects"
    tar --extract --file="$file" --directory="$place/unpacked"
    unpacked=$place/unpacked/${file##*/}
    unpacked=${unpacked%.tar.gz}
    tree=$(
        export GIT_INDEX_FILE="$place/unpacked/index" GIT_OBJECT_DIRECTORY="$place/unpacked/objects"
        cd "$unpacked" && git --git-dir="$first/.git" --work-tree=. add --all --force . &&
            git --git-dir="$first/.git" write-tree
    ) || tree=none
    [ "$tree" = "$(git rev-parse "$commit^{tree}")" ] || differ "${file##*/} is not the source of $commit"
    rm -rf "$place/unpacked"
done
for program in elivepatch elivepatch-server; do
    package=$program
    [ "$program" = elivepatch ] || package=elivepatch-server-bin
    (cd "$first" && cargo tree --locked --package "$package" --edges normal --target x86_64-unknown-linux-gnu \
        --prefix none --format '{p}') > "$place/tree"
    scripts/sbom.py check "$one/$program"-[0-9]*.cdx.json "$place/tree" "$first/Cargo.lock" \
        "$one/$program"-[0-9]*-x86_64-linux* || differ "the list of $program"
done
for file in "$one"/*.deb; do
    dpkg-deb --contents "$file" > "$place/contents"
    for wanted in /usr/share/man/ /usr/share/bash-completion/completions/ /usr/share/zsh/vendor-completions/ \
        /usr/share/fish/vendor_completions.d/; do
        grep -q "$wanted.*elivepatch" "$place/contents" || differ "${file##*/} has nothing in $wanted"
    done
done
[ "$failures" -eq 0 ] || fail "$failures things are not as they should be" "they are marked WRONG above"
printf '\ntest-dist: the release %s is the same from two places\n' "$commit"
