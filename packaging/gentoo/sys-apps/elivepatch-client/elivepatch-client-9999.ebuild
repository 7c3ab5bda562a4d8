# Copyright 2026 The elivepatch authors
# Distributed under the terms of the GNU General Public License v2

EAPI=8

RUST_MIN_VER="1.95.0"

inherit cargo git-r3 linux-info shell-completion systemd toolchain-funcs

DESCRIPTION="Patches the running kernel without a reboot: client and agent"
HOMEPAGE="https://wiki.gentoo.org/wiki/Elivepatch"
# Where elivepatch is cloned from is said in make.conf, as docs/install.md tells.
EGIT_REPO_URI="${ELIVEPATCH_REPOSITORY}"

LICENSE="GPL-2+"
# Dependent crate licenses
LICENSE+=" 0BSD Apache-2.0 BSD Boost-1.0 CC0-1.0 ISC MIT Unicode-3.0 ZLIB"
SLOT="0"

QA_FLAGS_IGNORED="usr/bin/elivepatch"

# Livepatches are modules that the kernel takes only with these.
CONFIG_CHECK="~LIVEPATCH ~MODULES ~MODULE_UNLOAD ~KALLSYMS_ALL"

# Both eclasses have one, and only the last would be called.
pkg_setup() {
	linux-info_pkg_setup
	rust_pkg_setup
}

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
	cargo_src_compile --package elivepatch --bin elivepatch
	# It tells what it is itself.
	if ! tc-is-cross-compiler; then
		local program="$(cargo_target_dir)/elivepatch" shell
		"${program}" man --output "${T}/man" || die
		for shell in bash zsh fish; do
			"${program}" completions "${shell}" > "${T}/${shell}" || die
		done
	fi
}

src_test() {
	cargo_src_test --package elivepatch-host --package elivepatch-agent
}

src_install() {
	dobin "$(cargo_target_dir)/elivepatch"
	# What the first elivepatch's client was called: as this it loads what it has built.
	dosym elivepatch /usr/bin/elivepatch-client
	if [[ -d ${T}/man ]]; then
		doman "${T}"/man/man1/*
		newbashcomp "${T}/bash" elivepatch
		newzshcomp "${T}/zsh" _elivepatch
		newfishcomp "${T}/fish" elivepatch.fish
	fi

	newinitd packaging/openrc/elivepatch-agent elivepatch-agent
	newconfd packaging/openrc/elivepatch-agent.confd elivepatch-agent
	newinitd packaging/openrc/elivepatch-boot elivepatch-boot
	systemd_dounit packaging/systemd/elivepatch-{agent,boot,shutdown}.service

	insinto /etc/elivepatch
	doins packaging/agent.toml

	# Modules are loaded from there.
	diropts -m0700
	keepdir /var/lib/elivepatch

	dodoc CHANGELOG.md README.md packaging/cron/elivepatch
	# All of them: they lead to each other, and README.md to docs.
	docinto docs
	dodoc docs/*.md
}

pkg_postinst() {
	elog "To have the livepatch of the kernel loaded at each start of the machine:"
	elog "  rc-update add elivepatch-boot boot"
	elog "or with systemd:"
	elog "  systemctl enable --now elivepatch-boot elivepatch-shutdown"
	elog "docs/agent.md tells how a server looks after the machine."
}
