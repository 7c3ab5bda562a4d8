//! What a kernel is built from, by a base that is there.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuiltFiles, Failure, KernelRelease};

use crate::{
    Builder, SilentObserver,
    base::{BaseFacts, BaseOnDisk, SourceIndex},
    cache::CacheLock,
    source::KernelSource,
};

/// What a kernel is built from. While it lives its base stays.
#[derive(Debug)]
pub struct KernelInventory {
    /// The name of the base in the cache.
    pub base: String,
    /// The version of its source: of Debian's packages `6.1.176-1`, of others that of Linux. `None` of a
    /// source that an administrator named for a release.
    pub version: Option<String>,
    /// What it is linked from.
    pub built: BuiltFiles,
    tree: Utf8PathBuf,
    _lock: CacheLock,
}

impl KernelInventory {
    /// Whether the source has a file.
    pub fn has_file(&self, path: &str) -> bool {
        let path = Utf8Path::new(path);
        let is_inside =
            path.components().all(|part| matches!(part, camino::Utf8Component::Normal(_)));
        is_inside && self.tree.join(path).symlink_metadata().is_ok()
    }
}

impl Builder {
    /// What the kernel of a release is built from; `None` when no base of it is ready. `kernel_version` is
    /// its `uname -v`, which tells Debian's packages of one release apart.
    ///
    /// # Errors
    /// When a base cannot be read.
    pub fn inventory(
        &self,
        release: &KernelRelease,
        kernel_version: Option<&str>,
    ) -> Result<Option<KernelInventory>, Failure> {
        let serves = |facts: &BaseFacts| match &facts.source {
            KernelSource::Debian(packages) => packages.serve(kernel_version),
            KernelSource::Tree(_) => true,
        };
        let bases = BaseOnDisk::all_of(&self.cache, release);
        let Some(found) = bases.into_iter().find(|base| serves(&base.facts)) else {
            return Ok(None);
        };
        let lock = self.cache.share(&found.place, &SilentObserver)?;
        // It may have gone while nobody held it.
        if !found.is_there() {
            return Ok(None);
        }
        let built = built_files(&found.sources()?);
        let version = match &found.facts.source {
            KernelSource::Debian(packages) => Some(packages.version.clone()),
            KernelSource::Tree(tree) => tree.version().map(str::to_owned),
        };
        let base = found.place.file_name().unwrap_or_default().to_owned();
        Ok(Some(KernelInventory { base, version, built, tree: found.tree(), _lock: lock }))
    }
}

fn built_files(index: &SourceIndex) -> BuiltFiles {
    let mut built = BuiltFiles::default();
    for (source, unit) in index.sources() {
        let parent = match unit.parent.name() {
            "vmlinux" => String::new(),
            module => module.to_owned(),
        };
        built.compiled.entry(unit.source.clone()).or_default().insert(parent);
        if *source != unit.source {
            built.included_by.entry(source.clone()).or_default().insert(unit.source.clone());
        }
    }
    built
}
