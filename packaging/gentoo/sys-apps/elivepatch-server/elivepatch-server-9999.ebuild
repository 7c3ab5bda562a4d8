# Copyright 2026 The elivepatch authors
# Distributed under the terms of the GNU General Public License v2

EAPI=8

RUST_MIN_VER="1.95.0"

inherit cargo git-r3 shell-completion systemd toolchain-funcs

DESCRIPTION="Makes livepatches of source patches, for any kernel: server and worker"
HOMEPAGE="https://wiki.gentoo.org/wiki/Elivepatch"
# Where elivepatch is cloned from is said in make.conf, as docs/install.md tells.
EGIT_REPO_URI="${ELIVEPATCH_REPOSITORY}"

LICENSE="GPL-2+"
# Dependent crate licenses
LICENSE+=" 0BSD Apache-2.0 BSD Boost-1.0 CC0-1.0 ISC MIT Unicode-3.0 ZLIB"
SLOT="0"

# What it runs: the sandbox, sources and their signatures, trials, signatures of modules.
RDEPEND="
	acct-group/elivepatch
	acct-user/elivepatch
	app-arch/gzip
	app-arch/tar
	app-arch/xz-utils
	app-arch/zstd
	app-crypt/gnupg
	app-emulation/qemu[qemu_softmmu_targets_x86_64]
	dev-libs/openssl
	dev-vcs/git
	net-misc/curl
	sys-apps/bubblewrap
	sys-apps/busybox[static]
	sys-apps/util-linux
	sys-devel/patch
"

QA_FLAGS_IGNORED="usr/bin/elivepatch-server"

src_unpack() {
	if [[ -z ${EGIT_REPO_URI} ]]; then
		eerror "It is not known where elivepatch is cloned from."
		eerror "Name it in /etc/portage/make.conf: ELIVEPATCH_REPOSITORY=\"https://…\" or \"file:///…\""
		die "ELIVEPATCH_REPOSITORY is not set"
	fi
	# Portage is not root here, and git takes nothing from a repository of somebody else.
	if [[ ${EGIT_REPO_URI} == file://* ]] && ! git ls-remote --quiet "${EGIT_REPO_URI}" HEAD > /dev/null; then
		eerror "User $(id -un) cannot read ${EGIT_REPO_URI}. When that is a clone of root's, tell git as root:"
		eerror "  git config --system --add safe.directory ${EGIT_REPO_URI#file://}/.git"
		eerror "(without /.git when it is a bare one)"
		die "ELIVEPATCH_REPOSITORY cannot be read"
	fi
	git-r3_src_unpack
	cargo_live_src_unpack
}

src_compile() {
	cargo_src_compile --package elivepatch-server-bin --bin elivepatch-server
	# It tells what it is itself; and all keys of the config are for the documentation.
	if ! tc-is-cross-compiler; then
		local program="$(cargo_target_dir)/elivepatch-server" shell
		"${program}" man --output "${T}/man" || die
		for shell in bash zsh fish; do
			"${program}" completions "${shell}" > "${T}/${shell}" || die
		done
		"${program}" init --config "${T}/server.toml" \
			--data-directory "${T}/data" --cache-directory "${T}/cache" || die
		sed -i -e "s:^data_directory = .*:#data_directory = \"/var/lib/elivepatch-server\":" \
			-e "s:^cache_directory = .*:#cache_directory = \"/var/cache/elivepatch-server\":" \
			"${T}/server.toml" || die
	fi
}

src_test() {
	cargo_src_test --package elivepatch-server --package elivepatch-store
}

src_install() {
	dobin "$(cargo_target_dir)/elivepatch-server"
	if [[ -d ${T}/man ]]; then
		doman "${T}"/man/man8/*
		newbashcomp "${T}/bash" elivepatch-server
		newzshcomp "${T}/zsh" _elivepatch-server
		newfishcomp "${T}/fish" elivepatch-server.fish
	fi

	newinitd packaging/openrc/elivepatch-server elivepatch-server
	newconfd packaging/openrc/elivepatch-server.confd elivepatch-server
	systemd_dounit packaging/systemd/elivepatch-{server,worker}.service

	insinto /etc/elivepatch
	doins packaging/server.toml
	insinto /etc/logrotate.d
	newins packaging/logrotate/elivepatch-server elivepatch-server

	diropts -m0750 -o elivepatch -g elivepatch
	keepdir /var/lib/elivepatch-server

	dodoc CHANGELOG.md README.md
	[[ ! -e ${T}/server.toml ]] || dodoc "${T}/server.toml"
	# All of them: they lead to each other, and README.md to docs.
	docinto docs
	dodoc docs/*.md
}

pkg_postinst() {
	elog "Name the sources of your kernels in /etc/elivepatch/server.toml, then"
	elog "  rc-service elivepatch-server checkconfig && rc-update add elivepatch-server default"
	elog "Each request wants a token: elivepatch-server token create --role admin"
	elog "Stock kernels of Debian cannot be served from here; docs/operation.md tells what can."
}
