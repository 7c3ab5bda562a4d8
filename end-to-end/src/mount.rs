use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory, of the size that a test wants. Only for root.
#[derive(Debug)]
pub struct SmallDisk {
    place: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one. `None`, with a line that says so, when the tests do not run as root.
    ///
    /// # Panics
    /// When root may not mount.
    pub fn mount(mebibytes: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can mount a small disk");
            return None;
        }
        let place = tempfile::tempdir().expect("a directory");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0755"), "elivepatch-test"])
            .arg(place.path())
            .status()
            .expect("mount is installed");
        assert!(status.success(), "root cannot mount a tmpfs here");
        Some(Self { place })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Writes a file until nothing is free; remove it to free all of that again.
    ///
    /// # Panics
    /// When writing fails for another reason.
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = fs::File::create(&path).expect("a file");
        for size in [1 << 20, 4096, 1] {
            let block = vec![b'x'; size];
            loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => panic!("cannot fill the disk: {error}"),
                }
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that has just been killed may still be on its way out.
        let status = Command::new("umount").arg("--lazy").arg(self.path()).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("warning: {} is still mounted", self.path().display());
        }
    }
}
