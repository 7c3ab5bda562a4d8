# A prepared base by hand: the plain commands, one after the other, in an empty tree. Runs in the
# sandbox. Leaves the target's vmlinux and its symbols in /work.
#
# usage: base.sh SOURCE_PACKAGE HEADERS_PACKAGE DEBUG_PACKAGE
set -eu
source=$1 headers=$2 debug=$3

kernel_make() { make -j"$JOBS" CC="$COMPILER" KERNELRELEASE="$RELEASE" "$@"; }

dpkg-deb --fsys-tarfile "$source" | tar --extract --to-stdout --wildcards './usr/src/*.tar.xz' |
    tar --extract --xz --strip-components=1 --no-same-owner
cp /work/config .config
kernel_make olddefconfig
KCFLAGS="-I/usr/share/kpatch/patch -ffunction-sections -fdata-sections" kernel_make modules_prepare
dpkg-deb --fsys-tarfile "$headers" |
    tar --extract --to-stdout --wildcards '*/Module.symvers' > Module.symvers
dpkg-deb --fsys-tarfile "$debug" |
    tar --extract --to-stdout "./usr/lib/debug/boot/vmlinux-$RELEASE" > /work/vmlinux
readelf --symbols --wide /work/vmlinux > /work/symtab
