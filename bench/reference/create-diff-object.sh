#!/bin/sh
# Stands in for create-diff-object in the reference runs: kpatch-build 0.9.10 and 0.9.11 pass
# --klp-arch whatever the kernel's version, and with binutils 2.44 the tool then crashes. The flag is
# meant for kernels before 5.8.
for argument; do
    shift
    [ "$argument" = --klp-arch ] || set -- "$@" "$argument"
done
exec /usr/lib/kpatch/create-diff-object.real "$@"
