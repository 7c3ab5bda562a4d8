use std::{
    io,
    path::{Path, PathBuf},
};

use elivepatch_model::{ElfBuildId, KernelRelease};

use super::{
    machine,
    proc_version::{self, BuiltBy},
};

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

    /// The kernel that ran where the files below `root` come from.
    pub fn inspect_at(root: &Path) -> Result<Self, io::Error> {
        let read = |name: &str| {
            let text = machine::read_text(&root.join("proc/sys/kernel").join(name))?;
            Ok::<_, io::Error>(text.trim_end().to_owned())
        };
        let release = read("osrelease")?.parse().ok();
        Ok(Self { release, version: read("version")?, root: root.to_owned() })
    }

    /// Where its files are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What built it; absent when the kernel does not tell it in a known form.
    pub fn built_by(&self) -> Option<BuiltBy> {
        let banner = machine::read_text(&self.root.join("proc/version")).ok()?;
        proc_version::built_by(&banner, &self.version)
    }

    /// The GNU build-id of the running image; absent when the kernel does not tell it.
    pub fn build_id(&self) -> Option<ElfBuildId> {
        let notes = std::fs::read(self.root.join("sys/kernel/notes")).ok()?;
        elivepatch_host::build_id(&notes)
    }

    /// Where its config may be, the best place first.
    pub fn config_places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.root.join("proc/config.gz")];
        if let Some(release) = &self.release {
            places.push(self.root.join(format!("boot/config-{release}")));
            let modules = self.root.join(format!("lib/modules/{release}"));
            // The last one is that of the tree that the kernel was built from, and somebody may have
            // configured that anew.
            places.extend([modules.join("config"), modules.join("build/.config")]);
        }
        places
    }

    /// The running kernel of a machine whose root is `root`.
    #[cfg(test)]
    pub fn for_test(root: &std::path::Path, release: &str) -> Self {
        Self { release: release.parse().ok(), version: "#1 SMP".to_owned(), root: root.to_owned() }
    }
}
