#!/bin/sh
# Makes pages of docs/ with mdbook, into target/book, and looks whether each link in them leads somewhere.
#
# usage: scripts/book.sh
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
use_cargo
[ $# -eq 0 ] || { sed -n 's/^# \{0,1\}//; 4p' "$0" >&2; exit 2; }

mdbook=$(cargo_program mdbook 0.5.4 --no-default-features --features search)
book=$PWD/target/book
rm -rf "$book"
"$mdbook" build docs >&2
rm -f "$book/book.toml"

# Pages name some files that lie beside docs/. They go along as they are. mdbook took those in Markdown for pages.
outside=$(grep -h -o 'href="\.\./[^"#]*' "$book"/*.html | sed 's,^href="\.\./,,' | sort -u)
for target in $outside; do
    file=$target
    [ -e "$file" ] || file=${target%.html}.md
    [ -e "$file" ] || fail "the book names $target, which is not there" "look for it in docs/*.md"
    mkdir -p "$book/source"
    cp --parents "$file" "$book/source"
    sed -i "s,href=\"\.\./$target,href=\"source/$file,g" "$book"/*.html
done

dead=0
for page in "$book"/*.html "$book"/adr/*.html; do
    for target in $(grep -o 'href="[^"#?]\{1,\}' "$page" | sed 's,^href=",,' | grep -v : | sort -u); do
        [ -e "${page%/*}/$target" ] || { echo "${page#"$book"/}: no $target" >&2; dead=$((dead + 1)); }
    done
done
[ "$dead" -eq 0 ] || fail "$dead links of the book lead nowhere" "they are listed above"
echo "$book/index.html"
