//! A machine that runs a kernel: a guest in QEMU, of which the tests take what `elivepatch facts` reads.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use crate::initrd::Initrd;

/// Copies what tells of the running kernel, and sends it over the second serial port.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /facts/proc/sys/kernel /facts/sys/kernel
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for file in proc/version proc/modules proc/kallsyms proc/sys/kernel/osrelease \
    proc/sys/kernel/version sys/kernel/notes; do
    /bin/busybox cat /$file >/facts/$file
done
cd /facts && /bin/busybox tar -c . | /bin/busybox gzip -1 | /bin/busybox base64 >/dev/ttyS1
/bin/busybox poweroff -f
"#;

/// Boots the image and gives the root directory of a system with the files that tell of its kernel.
///
/// # Panics
/// When it does not boot, or does not tell.
pub fn facts_of_running(image: &Path) -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    fs::write(path("initrd"), initrd()).expect("own directory");
    let ended = Command::new("timeout")
        .args(["180", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-machine", "pc", "-accel", "tcg,tb-size=128", "-cpu", "max"])
        .args(["-m", "768", "-kernel"])
        .arg(image)
        .args(["-initrd", &path("initrd"), "-append", "console=ttyS0 quiet panic=-1"])
        .args(["-serial", &format!("file:{}", path("console"))])
        .args(["-serial", &format!("file:{}", path("facts"))])
        .stdin(Stdio::null())
        .status()
        .expect("qemu-system-x86_64");
    let console = fs::read_to_string(path("console")).unwrap_or_default();
    assert!(ended.success(), "the guest did not end by itself:\n{console}");
    let root = tempfile::tempdir().expect("a directory");
    let unpacked = Command::new("sh")
        .args(["-c", "base64 -di | tar -xz -C \"$1\"", "sh"])
        .arg(root.path())
        .stdin(File::open(path("facts")).expect("what the guest sent"))
        .status()
        .expect("sh");
    assert!(unpacked.success(), "the guest's facts cannot be read:\n{console}");
    root
}

fn initrd() -> Vec<u8> {
    let mut initrd = Initrd::new(&["bin", "dev"]);
    initrd.file("init", 0o755, INIT.as_bytes());
    initrd.finish()
}
