use std::io::{self, Write};

use cpio::newc::{self, ModeFileType};

/// An initial root file system in the making: an uncompressed cpio archive in memory.
///
/// Uncompressed, because unpacking costs the emulated guest more than reading.
pub(crate) struct Initrd {
    archive: Vec<u8>,
    inode: u32,
}

impl Initrd {
    /// An archive with the directories that the guest mounts on, and with `/dev/console`, without
    /// which the kernel gives its first process no output.
    pub(crate) fn new() -> io::Result<Self> {
        let mut initrd = Self { archive: Vec::new(), inode: 0 };
        for directory in ["bin", "dev", "proc", "sys", "tmp"] {
            initrd.directory(directory)?;
        }
        let console = newc::Builder::new("dev/console")
            .mode(0o600)
            .set_mode_file_type(ModeFileType::Char)
            // Documentation/admin-guide/devices.txt: character device 5:1.
            .rdev_major(5)
            .rdev_minor(1);
        initrd.entry(console, &[])?;
        Ok(initrd)
    }

    /// Adds a directory; its parents must be there.
    pub(crate) fn directory(&mut self, name: &str) -> io::Result<()> {
        let entry =
            newc::Builder::new(name).mode(0o755).set_mode_file_type(ModeFileType::Directory);
        self.entry(entry, &[])
    }

    /// Adds a file that only root can read.
    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let entry = newc::Builder::new(name).mode(0o600).set_mode_file_type(ModeFileType::Regular);
        self.entry(entry, content)
    }

    /// Adds a program.
    pub(crate) fn program(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let entry = newc::Builder::new(name).mode(0o755).set_mode_file_type(ModeFileType::Regular);
        self.entry(entry, content)
    }

    /// The finished archive.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        newc::trailer(self.archive)
    }

    fn entry(&mut self, entry: newc::Builder, content: &[u8]) -> io::Result<()> {
        // Equal inode numbers would be hard links to the kernel's unpacker.
        self.inode += 1;
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "a file of 4 GiB or more"))?;
        let mut writer = entry.ino(self.inode).write(&mut self.archive, size);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn archive_reads_back_with_contents_and_modes() {
        let mut initrd = Initrd::new().expect("in memory");
        initrd.program("init", b"#!/bin/busybox sh\n").expect("in memory");
        initrd.file("empty", b"").expect("in memory");
        let archive = initrd.finish().expect("in memory");

        let mut rest = archive.as_slice();
        let mut seen = Vec::new();
        loop {
            let mut reader = newc::Reader::new(rest).expect("an entry");
            if reader.entry().is_trailer() {
                break;
            }
            let mut content = String::new();
            reader.read_to_string(&mut content).expect("text");
            seen.push((reader.entry().name().to_owned(), reader.entry().mode(), content));
            rest = reader.finish().expect("the next entry");
        }
        assert!(seen.contains(&("dev/console".to_owned(), 0o020_600, String::new())));
        assert!(seen.contains(&("init".to_owned(), 0o100_755, "#!/bin/busybox sh\n".to_owned())));
        assert!(seen.contains(&("empty".to_owned(), 0o100_600, String::new())));
    }
}
