//! Bases: source trees that are ready so that any file compiles as the target's was.
//!
//! A *prepared* base is the source of a stock kernel, with the target's own vmlinux beside it:
//! nothing of the kernel had to be built. For a *built* one the whole kernel was built, from a
//! config and a source tree.

mod branches;
mod built;
mod config_check;
mod facts;
mod image_files;
mod kept_view;
mod kernel_make;
mod module_facts;
mod module_table;
mod modules;
mod object_rules;
mod prepare;
mod source_index;
mod vmlinux_facts;
mod whole;
mod workspace;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{
    BaseKind, ElfBuildId, Failure, FailureClass, KernelConfig, KernelRelease, Sha256Digest,
};

#[cfg(test)]
pub(crate) use built::fake_kernel;
pub(crate) use built::same_every_time;
pub use config_check::check_config;
pub use facts::BaseFacts;
pub use kept_view::KeptView;
pub use kernel_make::{COMPILE_FLAGS, KernelMake, READ_VARIABLES_FLAGS};
pub(crate) use module_table::ModuleTable;
use object_rules::ObjectRules;
pub(crate) use source_index::SourceIndex;
use source_index::UnitsOfParent;
use whole::TreeMark;
pub use workspace::{TREE, WORK, Workspace};

use crate::{
    BaselinePatch, Cache, Observer,
    cache::{CacheLock, PARTIAL, REMOVED},
    debian::{Apt, KernelPackages},
    failures::io_failure,
    housekeeping::mark_used,
    sandbox::{Sandbox, SandboxLimits},
    source::{KernelSource, TreeFacts},
    toolchain::ToolchainRoot,
    untrusted_file::read_untrusted,
};

/// Changes when bases are prepared in another way than before: older ones are then not used.
const PREPARATION: u32 = 10;

/// The same for bases that are built, each of which costs minutes to hours. A change of what both
/// kinds keep changes both numbers.
const BUILDING: u32 = 3;

/// What a base is made from.
pub struct BaseInput<'a> {
    /// The target's release.
    pub release: &'a KernelRelease,
    /// The target's config.
    pub config: &'a KernelConfig,
    /// Its text: what is off and what is not mentioned is not the same to the kernel's build.
    pub config_text: &'a [u8],
    /// The source of the target's kernel.
    pub source: &'a KernelSource,
    /// The patches that are compiled into the target's kernel; their digests are in the source.
    pub baseline: &'a [BaselinePatch],
    /// The toolchain root that holds its compiler.
    pub toolchain: &'a ToolchainRoot,
    /// Cores to use.
    pub jobs: u32,
    /// What building a whole kernel may use.
    pub base_limits: SandboxLimits,
}

/// What brings the things that a base is made of, asked for only when one is made.
pub struct Supply<'s, 'a> {
    /// The archive that packages come from.
    pub apt: &'s dyn Fn() -> Result<&'a Apt, Failure>,
    /// Brings the source of a kernel into the cache where it is not there any more, and keeps it there.
    pub source: &'s dyn Fn() -> Result<Vec<CacheLock>, Failure>,
}

/// The source tree in a base.
const TREE_DIRECTORY: &str = "tree";

/// Where objects are kept that were compiled without any fix.
const ORIGINALS: &str = "originals";

/// Where it is kept what was compared with the kernel's code, beside the tree.
const FIT: &str = "fit";

/// How the lists begin that say which files include which.
const INCLUDES: &str = "includes-";

/// The largest Module.symvers that is read, in bytes. Debian's full kernel has 3 MB.
const SYMVERS_BYTES: u64 = 64 * 1024 * 1024;

/// A base that is complete, and kept from removal while this value lives.
#[derive(Debug)]
pub struct Base {
    place: Utf8PathBuf,
    facts: BaseFacts,
    /// Of the source tree, when this value was made.
    mark: Option<TreeMark>,
    _lock: CacheLock,
}

impl Base {
    /// The base for a target: from the cache, or prepared, or built. The flag says whether it was
    /// there.
    ///
    /// # Errors
    /// `config-mismatch` when the config is not that of the stock kernel or of the source tree; `base-failed` when it
    /// cannot be prepared; those of fetching and of the sandbox.
    pub fn ready<'a>(
        input: &BaseInput,
        cache: &Cache,
        supply: &Supply<'_, 'a>,
        sandbox: &Sandbox,
        observer: &dyn Observer,
    ) -> Result<(Self, bool), Failure> {
        let identity = identity(input);
        let place = cache.bases().join(format!("{}-{}", input.release, identity.short()));
        let mut was_there = true;
        loop {
            let lock = cache.share(&place, observer)?;
            let mark = TreeMark::of(&place.join("tree"));
            if let Some(facts) = BaseFacts::read(&place)? {
                let made_with = facts.package_config(&place)?;
                match &facts.source {
                    KernelSource::Debian(_) => {
                        check_config(input.config, &made_with, input.release)?;
                    }
                    // All else of the config is in the base's name.
                    KernelSource::Tree(tree) => {
                        if let Some(version) = made_with.header_version() {
                            let (config, release) = (input.config, input.release);
                            built::check_header(version.as_str(), config, release, tree.name())?;
                        }
                    }
                }
                mark_used(&place);
                return Ok((Self { place, facts, mark, _lock: lock }, was_there));
            }
            drop(lock);
            if !was_there {
                return Err(Failure::new(
                    FailureClass::BaseFailed,
                    format!("the base {place} is damaged right after it was made"),
                    "check the disk of the server's cache directory",
                ));
            }
            // Before the base is held alone: others hold the source while they wait for the base.
            let _held = (supply.source)()?;
            let _alone = cache.lock(&place, observer)?;
            // Someone else may have made it while we waited.
            if BaseFacts::read(&place)?.is_none() {
                was_there = false;
                match input.source {
                    KernelSource::Debian(packages) => {
                        let apt = (supply.apt)()?;
                        prepare::prepare(input, packages, &place, apt, sandbox, observer)?;
                    }
                    KernelSource::Tree(tree) => {
                        built::build(input, tree, identity, &place, sandbox, observer)?;
                    }
                }
            }
        }
    }

    /// The packages of the complete bases of a release in the cache, whatever toolchain root they
    /// were made with.
    pub fn packages_of(cache: &Cache, release: &KernelRelease) -> Vec<KernelPackages> {
        let packages = |base: BaseOnDisk| match base.facts.source {
            KernelSource::Debian(packages) => Some(*packages),
            KernelSource::Tree(_) => None,
        };
        BaseOnDisk::all_of(cache, release).into_iter().filter_map(packages).collect()
    }

    /// The sources of the complete bases of a release in the cache that were built.
    pub(crate) fn trees_of(cache: &Cache, release: &KernelRelease) -> Vec<TreeFacts> {
        let trees = |base: BaseOnDisk| match base.facts.source {
            KernelSource::Debian(_) => None,
            KernelSource::Tree(tree) => Some(tree),
        };
        BaseOnDisk::all_of(cache, release).into_iter().filter_map(trees).collect()
    }

    /// The releases of all complete bases in the cache.
    pub fn releases(cache: &Cache) -> BTreeSet<KernelRelease> {
        on_disk(cache).map(|base| base.facts.release).collect()
    }

    /// What is known of the base at a place, without a look at its files; `None` when there is none.
    pub(crate) fn peek(place: &Utf8Path) -> Option<BaseFacts> {
        BaseFacts::peek(place).ok().flatten()
    }

    /// Whether a file or directory of a base changes after the base is complete.
    pub(crate) fn changes_later(name: &str) -> bool {
        name == ORIGINALS || name == FIT || name.starts_with(INCLUDES)
    }

    /// Its name in the cache.
    pub fn name(&self) -> &str {
        self.place.file_name().unwrap_or_default()
    }

    /// What is known of it.
    pub fn facts(&self) -> &BaseFacts {
        &self.facts
    }

    /// The source tree, as the sandbox's user left it.
    pub fn tree(&self) -> Utf8PathBuf {
        self.place.join(TREE_DIRECTORY)
    }

    /// Where objects are kept that were compiled without any fix.
    pub fn originals(&self) -> Utf8PathBuf {
        self.place.join(ORIGINALS)
    }

    /// Where it is kept what was compared with the kernel's own code, and that code.
    pub fn fit(&self) -> Utf8PathBuf {
        self.place.join(FIT)
    }

    /// Ends the use of the base, and does `work` on its originals when nobody else uses it now. Builds
    /// share the base's lock until they end and read originals by their paths all the while; with the
    /// lock alone in our hands there is none. On a base that is never left alone nothing is done.
    pub fn tidy(self, cache: &Cache, work: impl FnOnce(&Utf8Path)) {
        let (place, originals) = (self.place.clone(), self.originals());
        drop(self);
        if let Some(_alone) = cache.lock_at_once(&place) {
            work(&originals);
        }
    }

    /// Where it is kept which files include which; `version` is that of the text.
    pub fn includes(&self, version: u32) -> Utf8PathBuf {
        self.place.join(format!("{INCLUDES}{version}"))
    }

    /// The text of `readelf -s` on the target's vmlinux.
    pub fn symbol_table(&self) -> Utf8PathBuf {
        self.place.join(facts::SYMBOL_TABLE)
    }

    /// The target's bootable image.
    pub fn kernel_image(&self) -> Utf8PathBuf {
        self.place.join(facts::KERNEL_IMAGE)
    }

    /// The target's Module.symvers.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn module_symvers(&self) -> Result<String, Failure> {
        let path = self.tree().join("Module.symvers");
        let text = read_untrusted(&path, SYMVERS_BYTES)
            .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The source files that are compiled into vmlinux and the modules, and those that they
    /// include.
    ///
    /// # Errors
    /// When the list cannot be read, or is another one than when the base was made.
    pub(crate) fn sources(&self) -> Result<SourceIndex, Failure> {
        Ok(SourceIndex::parse(&self.read(&self.place.join(facts::SOURCES))?))
    }

    /// Refuses a target whose running image is not the one of the package. A kernel that was built
    /// here is another image than the target's, however equal.
    ///
    /// # Errors
    /// `build-id-mismatch`.
    pub fn check_build_id(&self, build_id: Option<&ElfBuildId>) -> Result<(), Failure> {
        match build_id {
            Some(build_id)
                if *build_id != self.facts.build_id
                    && self.facts.source.base_kind() == BaseKind::Prepared =>
            {
                Err(Failure::new(
                    FailureClass::BuildIdMismatch,
                    format!(
                        "the target runs the image {build_id}, and {} is {}",
                        self.facts.source.name(),
                        self.facts.build_id
                    ),
                    "the running kernel is not Debian's package of that release: was it rebuilt, or is \
                 a newer one installed but not booted?",
                ))
            }
            _ => Ok(()),
        }
    }

    fn read(&self, path: &Utf8Path) -> Result<String, Failure> {
        fs_err::read_to_string(path)
            .map_err(|error| io_failure(FailureClass::BaseFailed, "read", path, &error))
    }
}

/// A complete base in the cache that nobody has taken into use.
pub(crate) struct BaseOnDisk {
    /// Where it lies.
    pub place: Utf8PathBuf,
    /// What is known of it.
    pub facts: BaseFacts,
}

impl BaseOnDisk {
    /// All bases of a release.
    pub(crate) fn all_of(cache: &Cache, release: &KernelRelease) -> Vec<Self> {
        let of_release = on_disk(cache).filter(|base| base.facts.release == *release);
        of_release.collect()
    }

    /// Whether it is there still.
    pub(crate) fn is_there(&self) -> bool {
        BaseFacts::peek(&self.place).is_ok_and(|facts| facts.is_some())
    }

    /// Its source tree.
    pub(crate) fn tree(&self) -> Utf8PathBuf {
        self.place.join(TREE_DIRECTORY)
    }

    /// What it is built from.
    ///
    /// # Errors
    /// When the list cannot be read, or is another one than when the base was made.
    pub(crate) fn sources(&self) -> Result<SourceIndex, Failure> {
        let path = self.place.join(facts::SOURCES);
        let text = fs_err::read_to_string(&path)
            .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error))?;
        if self.facts.files.get(facts::SOURCES) != Some(&Sha256Digest::of(text.as_bytes())) {
            return Err(Failure::new(
                FailureClass::BaseFailed,
                format!("{path} is damaged"),
                "the next build makes the base anew; elivepatch-server base warm does so at once",
            ));
        }
        Ok(SourceIndex::parse(&text))
    }
}

/// All complete bases. Whether one is damaged shows when it is used: looking at the files of all would
/// cost every build.
fn on_disk(cache: &Cache) -> impl Iterator<Item = BaseOnDisk> {
    let entries = cache.bases().read_dir_utf8().into_iter().flatten().flatten();
    // One that is being made gets its facts a moment before it is whole.
    let is_apart = |name: &str| [PARTIAL, REMOVED].iter().any(|suffix| name.ends_with(suffix));
    let whole = entries.filter(move |entry| !is_apart(entry.file_name()));
    whole.filter_map(|entry| {
        let facts = BaseFacts::peek(entry.path()).ok().flatten()?;
        Some(BaseOnDisk { place: entry.path().to_owned(), facts })
    })
}

/// A digest of what the base is made from: another one, another base.
fn identity(input: &BaseInput) -> Sha256Digest {
    let mut text = match input.source {
        KernelSource::Debian(_) => format!("{PREPARATION}\n"),
        // A stock kernel has one config, and its package is named below.
        KernelSource::Tree(_) => {
            format!("built {BUILDING}\n{} {}\n", input.release, input.config.digest())
        }
    };
    text.push_str(&format!("{}\n{}", input.toolchain.digest(), input.source.identity()));
    Sha256Digest::of(text.as_bytes())
}
