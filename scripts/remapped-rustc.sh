#!/bin/sh
# rustc as scripts/dist.sh has it run by cargo (RUSTC_WRAPPER): with the arguments that take this machine's directories
# out of what is compiled.
#
# usage: scripts/remapped-rustc.sh RUSTC ARGUMENT…
#   ELIVEPATCH_DIST_ARGUMENTS   the file with these arguments, one a line
#
# RUSTFLAGS would do the same. But cargo calls what it compiles by a digest of these, so that two directories would give
# two names, and programs whose parts are in another order.
set -eu
compiler=$1
shift
exec "$compiler" "$@" "@$ELIVEPATCH_DIST_ARGUMENTS"
