#!/bin/sh
# Checks the overlay in packaging/gentoo with Gentoo's pkgcheck, which comes from PyPI.
#
# Then bash runs the ebuilds' own phases, with stand-ins for what Portage and its eclasses define: for what they install
# as documentation, and for whether Portage's user can read the clone that docs/install.md has root make.
#
# usage: scripts/check-gentoo.sh [PROGRAMS]
#   PROGRAMS   the directory with the two programs, for what the ebuilds have them write
#   GENTOO_REPOSITORY=DIRECTORY  Gentoo's own repository, which the overlay builds on; else the one of this
#                                machine in /var/db/repos/gentoo
#
# Without that repository a small one takes its place, with as much as the overlay names: eclasses that only define
# their functions, licences without text, and packages without content. Then it is not seen whether Gentoo has these
# packages, and whether its eclasses want anything else.
set -eu
# Another user reads what is made here.
umask 022
cd "$(dirname "$0")/.."
. scripts/common.sh

programs=${1:-}
[ -z "$programs" ] || [ -x "$programs/elivepatch-server" ] || fail "there is no elivepatch-server in $programs" "make build"
overlay=$PWD/packaging/gentoo
# The last ones that run with bash 5.2, which Debian 12 has: later ones know EAPI 9, and end when bash does not.
pkgcheck_version=0.10.36
pkgcore_version=0.12.30
environment=$(python_environment pkgcheck "$pkgcheck_version" "pkgcore==$pkgcore_version")

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
master=${GENTOO_REPOSITORY:-/var/db/repos/gentoo}
profile=default/linux/amd64/23.0

# words VARIABLE: what the ebuilds of the overlay say in a variable, one word a line.
words() {
    cat "$overlay"/*/*/*.ebuild | tr '\n' ' ' | grep -o "$1+\{0,1\}=\"[^\"]*\"" |
        sed 's/^[^"]*"//; s/"$//' | tr -s '\t ' '\n' | sed '/^$/d' | sort -u
}

# an_eclass NAME LINE…: an eclass that has what the lines define. A word alone is a function.
an_eclass() {
    eclass=$master/eclass/$1.eclass
    shift
    {
        echo "# Copyright 1999-2026 Gentoo Authors"
        echo "# Distributed under the terms of the GNU General Public License v2"
        printf '\n# @ECLASS: %s\n# @MAINTAINER:\n# elivepatch\n# @BLURB: stands for it\n' "${eclass##*/}"
        for line; do
            case $line in
                *[!a-z_0-9-]*) printf '%s\n' "$line" ;;
                *) printf '\n# @FUNCTION: %s\n# @DESCRIPTION: none\n%s() { :; }\n' "$line" "$line" ;;
            esac
        done
    } > "$eclass"
}

a_small_master() {
    master=$place/gentoo
    mkdir -p "$master/eclass" "$master/licenses" "$master/metadata" "$master/profiles/$profile"
    echo 'masters =' > "$master/metadata/layout.conf"
    echo gentoo > "$master/profiles/repo_name"
    echo amd64 > "$master/profiles/arch.list"
    echo "amd64 $profile stable" > "$master/profiles/profiles.desc"
    echo 8 > "$master/profiles/$profile/eapi"
    printf 'ARCH="amd64"\nACCEPT_KEYWORDS="amd64"\n' > "$master/profiles/$profile/make.defaults"
    : > "$master/profiles/use.desc"
    for license in $(words LICENSE); do
        echo "a licence" > "$master/licenses/$license"
    done
    echo 'a licence' > "$master/licenses/public-domain"
    # shellcheck disable=SC2016 # bash is to see the variables
    {
        an_eclass acct-group 'DESCRIPTION="System group: ${PN}"' 'SLOT="0"' \
            'KEYWORDS="~amd64"'
        an_eclass acct-user ': "${DESCRIPTION:="System user: ${PN}"}"' 'SLOT="0"' 'KEYWORDS="~amd64"' acct-user_add_deps \
            'acct-user_add_deps() { RDEPEND+=" ${ACCT_USER_GROUPS[*]/#/acct-group/}"; }'
        an_eclass rust rust_pkg_setup 'EXPORT_FUNCTIONS pkg_setup'
        an_eclass cargo '# @PROVIDES: rust' 'inherit rust toolchain-funcs' 'IUSE="debug"' 'BDEPEND="dev-lang/rust"' cargo_live_src_unpack \
            cargo_src_unpack cargo_src_compile cargo_src_test cargo_src_install cargo_target_dir \
            'EXPORT_FUNCTIONS src_unpack src_compile src_test src_install'
    }
    an_eclass git-r3 'PROPERTIES="live"' 'BDEPEND="dev-vcs/git"' git-r3_src_unpack
    an_eclass linux-info linux-info_pkg_setup 'EXPORT_FUNCTIONS pkg_setup'
    an_eclass shell-completion newbashcomp newfishcomp newzshcomp
    an_eclass systemd systemd_dounit systemd_newunit
    an_eclass toolchain-funcs tc-is-cross-compiler
    for package in $(words RDEPEND) acct-group/kvm dev-lang/rust; do
        case $package in
            acct-*/elivepatch) continue ;;
        esac
        flags=$(echo "$package" | sed -n 's/.*\[\(.*\)\]/\1/p')
        package=${package%%\[*}
        directory=$master/$package
        mkdir -p "$directory"
        {
            echo "# Copyright 2026 Gentoo Authors"
            echo "# Distributed under the terms of the GNU General Public License v2"
            printf 'EAPI=8\nDESCRIPTION="stands for %s"\nSLOT="0"\nLICENSE="public-domain"\n' "$package"
            printf 'KEYWORDS="amd64"\nIUSE="%s"\n' "$flags"
        } > "$directory/${package#*/}-1.ebuild"
        echo "${package%/*}"
    done > "$place/categories"
    for category in "$overlay"/*-*/; do
        category=${category%/}
        echo "${category##*/}" >> "$place/categories"
    done
    sort -u "$place/categories" > "$master/profiles/categories"
}

if [ -f "$master/profiles/repo_name" ]; then
    say "pkgcheck, over Gentoo's repository in $master"
else
    [ -z "${GENTOO_REPOSITORY:-}" ] || fail "$master is no repository of Gentoo's" "it has no profiles/repo_name"
    say "pkgcheck, over a small repository in the place of Gentoo's"
    a_small_master
fi
settings=$place/portage
mkdir -p "$settings"
ln -s "$master/profiles/$profile" "$settings/make.profile"
cat > "$settings/repos.conf" <<END
[DEFAULT]
main-repo = gentoo
[gentoo]
location = $master
[elivepatch]
location = $overlay
END

# What pkgcheck does not see: of two eclasses with the same phase, only the last one's is called. Both of these have
# pkg_setup, and cargo does not go on without its own.
for ebuild in "$overlay"/*/*/*.ebuild; do
    ! grep -q '^inherit .*cargo.*linux-info' "$ebuild" || grep -q '^	rust_pkg_setup$' "$ebuild" ||
        fail "${ebuild##*/}: pkg_setup of linux-info takes the place of cargo's" "call rust_pkg_setup in a pkg_setup of its own"
done

# phases EBUILD PHASE…: does what the ebuild's functions say. Documentation goes to $D, and nothing else is installed.
cat > "$place/phases" <<'END'
set -e -u -o pipefail
for name in inherit cargo_src_compile cargo_live_src_unpack dobin dosym doman newbashcomp newzshcomp newfishcomp newinitd \
    newconfd systemd_dounit insinto doins newins diropts keepdir; do
    eval "$name() { :; }"
done
tc-is-cross-compiler() { [[ -z ${programs} ]]; }
cargo_target_dir() { echo "${programs}"; }
eerror() { echo "$*" >&2; }
die() { echo "died: ${1-}" >&2; exit 1; }
into=
docinto() { into=$1; }
dodoc() { mkdir -p "${D}/${into}" && cp "$@" "${D}/${into}"; }
git-r3_src_unpack() { git init --quiet --bare "${T}/clone" && git -C "${T}/clone" fetch --quiet "${EGIT_REPO_URI}"; }
ELIVEPATCH_REPOSITORY=${ELIVEPATCH_REPOSITORY-}
source "$1"
shift
for phase; do
    "${phase}"
done
END
phases() { bash "$place/phases" "$@"; }
export programs D T

say "the documentation that the ebuilds install"
for ebuild in "$overlay"/sys-apps/*/*.ebuild; do
    name=${ebuild##*/}
    D=$place/documentation/$name T=$place/temporary/$name
    mkdir -p "$D" "$T"
    phases "$ebuild" src_compile src_install
    for page in docs/*.md; do
        cmp -s "$page" "$D/$page" || fail "$name does not install $page" "pages lead to each other: dodoc docs/*.md"
    done
    case $programs:$name in
        ?*:elivepatch-server-*)
            for line in 'data_directory = "/var/lib' 'cache_directory = "/var/cache'; do
                grep -q -x "#$line/elivepatch-server\"" "$D/server.toml" ||
                    fail "the server.toml of $name lacks #$line/elivepatch-server\"" "look at its src_compile"
            done
            ! grep -F "$place" "$D/server.toml" || fail "the server.toml of $name names a temporary directory" "look at its src_compile"
            ;;
    esac
done

# shown WORDS: the line of docs/install.md for Gentoo that begins with these words, with what is the reader's own.
shown() {
    line=$(sed -n '/^## Gentoo$/,/^## Containers$/p' docs/install.md | grep "^$1") ||
        fail "docs/install.md has no line '$1' for Gentoo" "this script runs it from there"
    echo "$line" | sed -e "s,REPOSITORY /,$place/origin /," -e "s,/var/db/repos/elivepatch-source,$place/source,g"
}

# as_portage EBUILD: Portage unpacks as a user of its own (FEATURES=userpriv).
as_portage() {
    T=$place/temporary/portage
    rm -rf "$T"
    install -d -o 65534 -g 65534 "$T"
    HOME=$T setpriv --reuid 65534 --regid 65534 --clear-groups bash "$place/phases" "$1" src_unpack
}

if [ "$(id -u)" -eq 0 ]; then
    say "root's clone of docs/install.md, unpacked by another user"
    chmod 755 "$place"
    cp "$overlay"/sys-apps/*/*.ebuild "$place"
    git init --quiet "$place/origin"
    git -C "$place/origin" -c user.name=elivepatch -c user.email=elivepatch@localhost \
        commit --quiet --allow-empty --message "a commit"
    # The settings of this machine stay as they are.
    export GIT_CONFIG_SYSTEM="$place/gitconfig"
    eval "$(shown ELIVEPATCH_REPOSITORY=)"
    export ELIVEPATCH_REPOSITORY
    eval "$(shown 'git clone')"
    for ebuild in "$place"/*.ebuild; do
        # Old gits take it as it is.
        as_portage "$ebuild" 2> "$place/said" || grep -q "git config --system --add safe.directory $place/source/.git" "$place/said" ||
            { cat "$place/said"; fail "${ebuild##*/} does not say what git wants" "look at its src_unpack"; }
    done
    eval "$(shown 'git config')"
    for ebuild in "$place"/*.ebuild; do
        as_portage "$ebuild" || fail "${ebuild##*/} cannot unpack root's clone" "see the commands for Gentoo in docs/install.md"
    done
    unset GIT_CONFIG_SYSTEM
else
    say "SKIPPED: root's clone unpacked by another user, because this is not root"
fi

# The overlay is in a larger git repository, whose history pkgcheck would look for commits of packages in.
cd "$place"
export XDG_CACHE_HOME="$place/cache"
"$environment/bin/pkgcheck" --config "$settings" scan --repo elivepatch --exit error,warning,style ||
    fail "pkgcheck found something" "each line above names a file and what is to be changed"
echo "packaging/gentoo: pkgcheck finds nothing, and the documentation and root's clone are as they should be"
