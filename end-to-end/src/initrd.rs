//! The archive that a guest's kernel unpacks as its first file system.

use std::{fs, io::Write as _};

use cpio::newc::{self, ModeFileType};

/// An archive in the making. It has busybox and a console.
pub(crate) struct Initrd {
    archive: Vec<u8>,
    inodes: u32,
}

impl Initrd {
    /// One with these directories, `bin` and `dev` among them.
    ///
    /// # Panics
    /// When busybox is not there.
    pub(crate) fn new(directories: &[&str]) -> Self {
        let mut initrd = Self { archive: Vec::new(), inodes: 0 };
        for directory in directories {
            initrd.entry(directory, 0o755, ModeFileType::Directory, &[]);
        }
        // Without it the first process has no output.
        initrd.entry("dev/console", 0o600, ModeFileType::Char, &[]);
        let busybox = fs::read("/bin/busybox").expect("busybox-static");
        initrd.file("bin/busybox", 0o755, &busybox);
        initrd
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, mode, ModeFileType::Regular, content);
    }

    /// The whole archive.
    pub(crate) fn finish(self) -> Vec<u8> {
        newc::trailer(self.archive).expect("in memory")
    }

    fn entry(&mut self, name: &str, mode: u32, kind: ModeFileType, content: &[u8]) {
        self.inodes += 1;
        let device = if matches!(kind, ModeFileType::Char) { (5, 1) } else { (0, 0) };
        let entry = newc::Builder::new(name).ino(self.inodes).mode(mode).set_mode_file_type(kind);
        let entry = entry.rdev_major(device.0).rdev_minor(device.1);
        let size = u32::try_from(content.len()).expect("a small file");
        let mut writer = entry.write(&mut self.archive, size);
        writer.write_all(content).expect("in memory");
        writer.finish().expect("in memory");
    }
}
