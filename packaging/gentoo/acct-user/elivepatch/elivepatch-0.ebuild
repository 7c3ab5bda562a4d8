# Copyright 2026 The elivepatch authors
# Distributed under the terms of the GNU General Public License v2

EAPI=8

inherit acct-user

DESCRIPTION="User of elivepatch-server"

# No number of Gentoo's list belongs to it: the next one that is free.
ACCT_USER_ID=-1
# Trials are faster with KVM.
ACCT_USER_GROUPS=( elivepatch kvm )
ACCT_USER_HOME=/var/lib/elivepatch-server
ACCT_USER_HOME_PERMS=0750

acct-user_add_deps
