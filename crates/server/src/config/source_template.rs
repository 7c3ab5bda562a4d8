//! The part of the config's template on sources.

/// Every key of a `[[source]]`, in examples of all kinds.
pub(super) const SOURCES: &str = r##"# Where the source of kernels comes from: as many sources as need be, each a [[source]] with a name and a
# kind. They are asked in this order; the first that has a kernel serves it, and the build's log says why
# those before it did not. Unless one is of the kind "debian", Debian's archive as above is the last. All
# other kinds have no vmlinux of the running kernel: the kernel is built once for each config that requests
# send. After a change of files that a source names by a path, restart the server.
#
# In paths and addresses, {release} stands for uname -r (6.12.31-custom), {version} for the version as
# kernel.org writes it (6.12.31, and 6.12 for 6.12.0), {series} for 6.12 and {major} for 6.

# Debian's archive. Without further keys it is that of the section [debian].
#[[source]]
#name = "debian"
#kind = "debian"
# The releases that a source of any kind may serve, with the wildcards * and ?; without it, all
#releases = ["*-amd64"]

# Debian as it was: older versions of stock kernels. The signature is checked; that the index is past its
# time is accepted only here.
#[[source]]
#name = "debian-in-june"
#kind = "debian"
#mirror = "https://snapshot.debian.org/archive/debian/20260601T000000Z"
#security_mirror = "https://snapshot.debian.org/archive/debian-security/20260601T000000Z"
#suites = ["bookworm", "bookworm-security"]
#keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
#valid_until = false
# Package files that were kept: image, dbg, headers and source of a kernel. Their digests are in the signed
# index, or here.
#packages = "/srv/kernels/debian"
#sha256 = { "linux-source-6.1_6.1.170-1_all.deb" = "0000000000000000000000000000000000000000000000000000000000000000" }

# Tarballs of kernel.org. What comes from an address must be checked: by a list of digests, or by its
# signature, made by a key of the keyring (a binary one: gpg --export).
#[[source]]
#name = "kernel.org"
#kind = "tarball"
#url = "https://cdn.kernel.org/pub/linux/kernel/v{major}.x/linux-{version}.tar.xz"
# a path or an address; with a keyring, the list must be signed in clear text
#sha256sums = "https://cdn.kernel.org/pub/linux/kernel/v{major}.x/sha256sums.asc"
#keyring = "/etc/elivepatch/kernel.org.gpg"

# Tarballs of whole series on the server, and the patches of the stable branch that lead to a version.
#[[source]]
#name = "tarballs"
#kind = "tarball"
#path = "/srv/kernels/linux-{series}.tar.xz"
#patches = "/srv/kernels/patch-{version}.xz"
# Without sha256sums, the signature of the uncompressed file; when it is absent, it lies beside the tarball
#signature = "/srv/kernels/linux-{series}.tar.sign"
#keyring = "/etc/elivepatch/kernel.org.gpg"

# The tags of a clone of linux-stable: a path, or a url with https, http, git or ssh. Of a remote one only
# the tag that is needed is fetched; hooks and settings of the repository do nothing.
#[[source]]
#name = "stable"
#kind = "git"
#url = "https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git"
#tag = "v{version}"
#verify_tag = "/etc/elivepatch/kernel.org.gpg"

# Trees that you put there.
#[[source]]
#name = "trees"
#kind = "directory"
#path = "/usr/src/linux-{release}"

# What Gentoo's ebuilds unpack and patch, on a Gentoo server or below the root of one. Nothing is
# fetched: the files that the ebuild names must be in distfiles.
#[[source]]
#name = "gentoo"
#kind = "portage"
#root = "/"
#repository = "/var/db/repos/gentoo"
#distfiles = "/var/cache/distfiles"
#package = "sys-kernel/gentoo-sources"

# The kernels of one release: a directory, or a tarball (.tar, .tar.gz, .tar.xz, .tar.zst) with one
# directory at its top. It has neither name nor kind.
#[[source]]
#release = "6.12.117-custom"
#path = "/srv/kernels/linux-6.12.117-custom.tar.xz"
"##;
