//! A machine without a disk, for kernels that have no driver for one: what it needs is in its memory.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    initrd::Initrd,
    machine::{RUN, static_client},
    said::Said,
};

/// Makes the system ready, runs what the test says, and goes off.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /var/lib /tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec >/dev/ttyS1 2>&1
. /run-command
. /script
poweroff -f
"#;

/// Boots an image with the client and these files in `/files`, and runs a script as
/// [`crate::TargetMachine::start`] does. `more` goes to the kernel's command line.
///
/// # Panics
/// When it does not go off by itself.
pub fn runs_without_disk(image: &Path, files: &[(&str, &Path)], script: &str, more: &str) -> Said {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    let mut initrd = Initrd::new(&["bin", "dev", "files"]);
    initrd.file("bin/elivepatch", 0o755, &static_client());
    for (name, file) in files {
        initrd.file(&format!("files/{name}"), 0o644, &fs::read(file).expect("a file"));
    }
    initrd.file("init", 0o755, INIT.as_bytes());
    initrd.file("run-command", 0o644, RUN.as_bytes());
    initrd.file("script", 0o644, script.as_bytes());
    fs::write(path("initrd"), initrd.finish()).expect("own directory");
    let ended = Command::new("timeout")
        .args(["600", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-machine", "pc", "-accel", "tcg,tb-size=128", "-cpu", "max"])
        .args(["-m", "768", "-kernel"])
        .arg(image)
        .args(["-initrd", &path("initrd")])
        .args(["-append", &format!("console=ttyS0 panic=-1 no_timer_check {more}")])
        .args(["-serial", &format!("file:{}", path("console"))])
        .args(["-serial", &format!("file:{}", path("said"))])
        .stdin(Stdio::null())
        .status()
        .expect("qemu-system-x86_64");
    let read = |name: &str| {
        let bytes = fs::read(path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    };
    let said = read("said");
    assert!(ended.success(), "it did not end by itself:\n{said}\n{}", read("console"));
    Said { text: said }
}
