# A livepatch by hand: the plain commands, one after the other, in the source tree of a prepared
# base. Runs in the sandbox. The environment holds what a person would know: COMPILER, RELEASE,
# JOBS and the sizes of the kernel's special structures.
#
# usage: livepatch.sh OBJECT NAME
set -eu
object=$1 name=$2
headers=/usr/share/kpatch/patch
sections="-I$headers -ffunction-sections -fdata-sections"

kernel_make() { make -j"$JOBS" CC="$COMPILER" KERNELRELEASE="$RELEASE" "$@"; }

KCFLAGS=$sections kernel_make "$object"
cp "$object" /work/original.o
patch --strip=1 --input=/work/fix.patch
KCFLAGS=$sections kernel_make "$object"
/usr/lib/kpatch/create-diff-object /work/original.o "$object" vmlinux /symtab Module.symvers \
    "$name" /work/changed.o
cp -r "$headers" /work/kpatch
ld -r -o /work/kpatch/output.o /work/changed.o
touch /work/kpatch/.output.o.cmd
KPATCH_NAME=$name KPATCH_BUILD=/build KCFLAGS="-I$headers" \
    kernel_make M=/work/kpatch CFLAGS_MODULE= CONFIG_DEBUG_INFO_BTF_MODULES=
strip --strip-debug "/work/kpatch/$name.ko"
/usr/lib/kpatch/create-klp-module --no-klp-arch-sections "/work/kpatch/$name.ko" "/work/$name.ko"
