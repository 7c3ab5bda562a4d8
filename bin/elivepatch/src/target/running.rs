use std::path::PathBuf;

use elivepatch_model::{ElfBuildId, KernelRelease};

use super::elf_notes;

/// The kernel that runs on this machine.
#[derive(Debug, Clone)]
pub struct RunningKernel {
    /// `uname -r`; absent when it is no release that elivepatch can name.
    pub release: Option<KernelRelease>,
    /// `uname -v`.
    pub version: String,
    /// `/`, or what stands for it in a test.
    root: PathBuf,
}

impl RunningKernel {
    /// Asks the system.
    pub fn inspect() -> Self {
        let names = rustix::system::uname();
        Self {
            release: names.release().to_str().ok().and_then(|release| release.parse().ok()),
            version: names.version().to_string_lossy().into_owned(),
            root: PathBuf::from("/"),
        }
    }

    /// The GNU build-id of the running image; absent when the kernel does not tell it.
    pub fn build_id(&self) -> Option<ElfBuildId> {
        let notes = std::fs::read(self.root.join("sys/kernel/notes")).ok()?;
        elf_notes::build_id(&notes)
    }

    /// Where its config may be, the best place first.
    pub fn config_places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.root.join("proc/config.gz")];
        places.extend(
            self.release.as_ref().map(|release| self.root.join(format!("boot/config-{release}"))),
        );
        places
    }

    /// The running kernel of a machine whose root is `root`.
    #[cfg(test)]
    pub fn for_test(root: &std::path::Path, release: &str) -> Self {
        Self { release: release.parse().ok(), version: "#1 SMP".to_owned(), root: root.to_owned() }
    }
}
