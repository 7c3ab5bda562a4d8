#!/bin/sh
# cargo, found also where sudo hides it.
set -eu
. "$(dirname "$0")/common.sh"
use_cargo
exec cargo "$@"
