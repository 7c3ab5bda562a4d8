//! What a kernel is built from, by a base that is there.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuiltFiles, Failure, KernelRelease, LeftOut, TargetFacts};

use crate::{
    Builder, Cache, SilentObserver,
    base::{BaseOnDisk, SourceIndex},
    cache::CacheLock,
    left_out::{KeptLists, ObjectLists},
    source::KernelSource,
};

/// Why it cannot be said what a kernel is built from, though there are bases of its release.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// A base is damaged, or cannot be read.
    #[error("the base {base} cannot be read: {failure}")]
    Unreadable {
        /// Its name.
        base: String,
        /// What went wrong.
        failure: Box<Failure>,
    },
    /// Bases that may both be that of the kernel are built from different files, or different versions.
    #[error(
        "the bases {one} and {other} of {release} differ, and it is not known which of them is that of this \
         kernel"
    )]
    Ambiguous {
        /// The release.
        release: KernelRelease,
        /// A base.
        one: String,
        /// Another one.
        other: String,
    },
}

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
    lists: Arc<ObjectLists>,
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

    /// Which options that are not set leave a C or assembler file out of the kernel, by the Makefiles of the source;
    /// to be asked of a file that is not in it. `None` of any other file, and of one that is in no kernel.
    pub fn left_out(&self, path: &str) -> Option<LeftOut> {
        self.lists.left_out(path)
    }
}

/// The bases of a cache, for who builds nothing: what they say of kernels. A server may use the cache meanwhile.
#[derive(Debug)]
pub struct Bases {
    cache: Cache,
    lists: KeptLists,
}

impl Bases {
    /// Those of a cache.
    pub fn new(cache: Cache) -> Self {
        Self { cache, lists: KeptLists::default() }
    }

    /// As [`Builder::inventory`].
    ///
    /// # Errors
    /// As [`Builder::inventory`].
    pub fn inventory(
        &self,
        target: &TargetFacts,
    ) -> Result<Option<KernelInventory>, InventoryError> {
        inventory(&self.cache, &self.lists, target)
    }
}

impl Builder {
    /// What the kernel of a target is built from; `None` when no base of it is ready. Its build-id and its
    /// `uname -v` tell the kernels of one release apart, as far as the target has them.
    ///
    /// # Errors
    /// When a base cannot be read, or it cannot be told which of several is that of the kernel.
    pub fn inventory(
        &self,
        target: &TargetFacts,
    ) -> Result<Option<KernelInventory>, InventoryError> {
        inventory(&self.cache, &self.object_lists, target)
    }
}

fn inventory(
    cache: &Cache,
    kept: &KeptLists,
    target: &TargetFacts,
) -> Result<Option<KernelInventory>, InventoryError> {
    let mut found: Option<KernelInventory> = None;
    for base in candidates(cache, target) {
        let name = base.place.file_name().unwrap_or_default().to_owned();
        let unreadable = |failure: Failure| {
            let failure = Box::new(failure);
            InventoryError::Unreadable { base: name.clone(), failure }
        };
        let lock = cache.share(&base.place, &SilentObserver).map_err(unreadable)?;
        // It may have gone while nobody held it.
        if !base.is_there() {
            continue;
        }
        let built = built_files(&base.sources().map_err(unreadable)?);
        let version = match &base.facts.source {
            KernelSource::Debian(packages) => Some(packages.version.clone()),
            KernelSource::Tree(tree) => tree.version().map(str::to_owned),
        };
        match &found {
            None => {
                let tree = base.tree();
                let lists = kept.of(&tree);
                let base = name;
                found = Some(KernelInventory { base, version, built, tree, lists, _lock: lock });
            }
            Some(first) if first.built == built && first.version == version => {}
            Some(first) => {
                let (release, one) = (target.release.clone(), first.base.clone());
                return Err(InventoryError::Ambiguous { release, one, other: name });
            }
        }
    }
    Ok(found)
}

/// The bases that may be that of a kernel. A prepared base holds the image of a stock kernel: with the
/// target's build-id it is that of the target and of no other, with another one it is not. A base that
/// was built here has a build-id of its own, whatever the target is.
fn candidates(cache: &Cache, target: &TargetFacts) -> Vec<BaseOnDisk> {
    let mut bases = BaseOnDisk::all_of(cache, &target.release);
    bases.sort_by(|one, other| one.place.cmp(&other.place));
    let is_prepared = |base: &BaseOnDisk| matches!(base.facts.source, KernelSource::Debian(_));
    if let Some(build_id) = &target.build_id {
        let is_targets = |base: &BaseOnDisk| is_prepared(base) && base.facts.build_id == *build_id;
        if bases.iter().any(is_targets) {
            bases.retain(is_targets);
            return bases;
        }
        bases.retain(|base| !is_prepared(base));
    }
    bases.retain(|base| match &base.facts.source {
        KernelSource::Debian(packages) => packages.serve(target.kernel_version.as_deref()),
        KernelSource::Tree(_) => true,
    });
    bases
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

#[cfg(test)]
mod tests {
    use elivepatch_model::{Architecture, ElfBuildId, Sha256Digest};
    use serde_json::json;

    use super::*;

    const RELEASE: &str = "6.1.0-50-cloud-amd64";

    struct Place {
        cache: Cache,
        _directory: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let path = Utf8Path::from_path(directory.path()).expect("UTF-8");
            let cache = Cache::open(&path.join("cache")).expect("own directory");
            Self { cache, _directory: directory }
        }

        /// A base of packages with a version, or without one of a tree.
        fn base(&self, name: &str, version: Option<&str>, build_id: &str, sources: &str) {
            let digest = Sha256Digest::of(b"").to_string();
            let package = json!({
                "name": "x", "version": version, "digest": digest, "size_bytes": 1, "file_name": "x.deb",
            });
            let source = match version {
                Some(version) => json!({
                    "kind": "debian", "version": version, "image": package, "debug": package,
                    "headers": package, "source": package,
                }),
                None => json!({"kind": "tree", "path": "/usr/src/linux", "digest": digest}),
            };
            let facts = json!({
                "release": RELEASE, "source": source, "build_id": build_id, "vermagic": "",
                "struct_sizes": {}, "kernel_image": digest,
                "files": {"sources": Sha256Digest::of(sources.as_bytes())},
            });
            let place = self.cache.bases().join(name);
            fs_err::create_dir_all(place.join("tree/mm")).expect("own directory");
            fs_err::write(place.join("tree/mm/mmap.c"), "").expect("own file");
            fs_err::write(place.join("sources"), sources).expect("own file");
            fs_err::write(place.join("base.json"), facts.to_string()).expect("own file");
            serde_json::from_value::<crate::base::BaseFacts>(facts).expect("facts of a base");
        }

        fn find(&self, build_id: Option<&str>, version: Option<&str>) -> Result<String, String> {
            let release = RELEASE.parse().expect("a release");
            let mut target = TargetFacts::new(release, Architecture::X86_64);
            target.build_id = build_id.map(|id| id.parse::<ElfBuildId>().expect("a build-id"));
            target.kernel_version = version.map(str::to_owned);
            let found = inventory(&self.cache, &KeptLists::default(), &target)
                .map_err(|error| error.to_string())?;
            Ok(found.map_or_else(|| "none".to_owned(), |found| found.base))
        }
    }

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";
    const OTHER: &str = "3333333333333333333333333333333333333333";
    const SOURCES: &str = "mm/mmap.c\tmm/mmap.c\n";

    #[test]
    fn prepared_base_answers_only_for_the_build_id_that_it_has() {
        let place = Place::new();
        assert_eq!(place.find(None, None).as_deref(), Ok("none"));
        place.base("one", Some("6.1.176-1"), ONE, SOURCES);
        place.base("two", Some("6.1.187-1"), TWO, "mm/nommu.c\tmm/nommu.c\n");
        assert_eq!(place.find(Some(ONE), None).as_deref(), Ok("one"));
        assert_eq!(place.find(Some(TWO), None).as_deref(), Ok("two"));
        assert_eq!(place.find(Some(OTHER), None).as_deref(), Ok("none"));
        let debian = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.187-1 (2026-09-02)";
        assert_eq!(place.find(None, Some(debian)).as_deref(), Ok("two"));
        let doubt = place.find(None, None).expect_err("it may be either");
        assert!(doubt.contains("the bases one and two of 6.1.0-50-cloud-amd64 differ"), "{doubt}");
    }

    #[test]
    fn built_bases_answer_whatever_the_build_id_unless_they_differ() {
        let place = Place::new();
        place.base("one", None, ONE, SOURCES);
        assert_eq!(place.find(Some(OTHER), None).as_deref(), Ok("one"));
        place.base("two", None, TWO, SOURCES);
        assert_eq!(place.find(Some(OTHER), None).as_deref(), Ok("one"));
        place.base("three", None, TWO, "mm/nommu.c\tmm/nommu.c\n");
        assert!(place.find(Some(OTHER), None).is_err());
        // The target's own image is better than all of them.
        place.base("stock", Some("6.1.176-1"), OTHER, SOURCES);
        assert_eq!(place.find(Some(OTHER), None).as_deref(), Ok("stock"));
    }

    #[test]
    fn damaged_base_is_told() {
        let place = Place::new();
        place.base("one", Some("6.1.176-1"), ONE, SOURCES);
        fs_err::write(place.cache.bases().join("one/sources"), "mm/x.c\tmm/x.c\n").expect("a file");
        let doubt = place.find(None, None).expect_err("it is damaged");
        assert!(doubt.contains("the base one cannot be read"), "{doubt}");
    }
}
