# Copyright 2026 The elivepatch authors
# Distributed under the terms of the GNU General Public License v2

EAPI=8

inherit acct-group

# No number of Gentoo's list belongs to it: the next one that is free.
ACCT_GROUP_ID=-1
