//! Prepared bases: the source tree of a stock kernel, configured as the target is, with the
//! target's own vmlinux beside it. Any file compiles as the target's was, and nothing of the
//! kernel had to be built.

mod config_check;
mod facts;
mod image_files;
mod kept_view;
mod kernel_make;
mod module_facts;
mod module_table;
mod prepare;
mod source_index;
mod workspace;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{
    ElfBuildId, Failure, FailureClass, KernelConfig, KernelRelease, Sha256Digest,
};

pub use config_check::check_config;
pub use facts::BaseFacts;
pub use kept_view::KeptView;
pub use kernel_make::{COMPILE_FLAGS, KernelMake};
pub(crate) use module_table::ModuleTable;
pub(crate) use source_index::SourceIndex;
pub use workspace::{WORK, Workspace};

use crate::{
    Cache, Observer,
    cache::CacheLock,
    debian::{Apt, KernelPackages},
    failures::io_failure,
    sandbox::Sandbox,
    source::KernelSource,
    toolchain::ToolchainRoot,
};

/// Changes when bases are prepared in another way than before: older ones are then not used.
const PREPARATION: u32 = 5;

/// What a base is made from.
pub struct BaseInput<'a> {
    /// The target's release.
    pub release: &'a KernelRelease,
    /// The target's config.
    pub config: &'a KernelConfig,
    /// The source of the target's kernel.
    pub source: &'a KernelSource,
    /// The toolchain root that holds its compiler.
    pub toolchain: &'a ToolchainRoot,
    /// Cores to use.
    pub jobs: u32,
}

/// A prepared base that is complete, and kept from removal while this value lives.
#[derive(Debug)]
pub struct Base {
    place: Utf8PathBuf,
    facts: BaseFacts,
    _lock: CacheLock,
}

impl Base {
    /// The base for a target: from the cache, or prepared. The flag says whether it was there.
    ///
    /// # Errors
    /// `config-mismatch` when the config is not that of the stock kernel; `base-failed` when it
    /// cannot be prepared; those of fetching and of the sandbox.
    pub fn ready(
        input: &BaseInput,
        cache: &Cache,
        apt: &Apt,
        sandbox: &Sandbox,
        observer: &dyn Observer,
    ) -> Result<(Self, bool), Failure> {
        let place = cache.bases().join(directory_name(input));
        let mut was_there = true;
        loop {
            let lock = cache.share(&place, observer)?;
            if let Some(facts) = BaseFacts::read(&place)? {
                check_config(input.config, &facts.package_config(&place)?, input.release)?;
                return Ok((Self { place, facts, _lock: lock }, was_there));
            }
            drop(lock);
            if !was_there {
                return Err(Failure::new(
                    FailureClass::BaseFailed,
                    format!("the base {place} is damaged right after it was prepared"),
                    "check the disk of the server's cache directory",
                ));
            }
            let _alone = cache.lock(&place, observer)?;
            // Someone else may have prepared it while we waited.
            if BaseFacts::read(&place)?.is_none() {
                was_there = false;
                match input.source {
                    KernelSource::Debian(packages) => {
                        prepare::prepare(input, packages, &place, apt, sandbox, observer)?;
                    }
                }
            }
        }
    }

    /// The packages of the complete bases of a release in the cache, whatever toolchain root they
    /// were made with.
    pub fn packages_of(cache: &Cache, release: &KernelRelease) -> Vec<KernelPackages> {
        let of_release = all(cache).filter(|facts| facts.release == *release);
        let packages = |facts: BaseFacts| match facts.source {
            KernelSource::Debian(packages) => packages,
        };
        of_release.map(packages).collect()
    }

    /// The releases of all complete bases in the cache.
    pub fn releases(cache: &Cache) -> BTreeSet<KernelRelease> {
        all(cache).map(|facts| facts.release).collect()
    }

    /// What is known of it.
    pub fn facts(&self) -> &BaseFacts {
        &self.facts
    }

    /// The source tree, as the sandbox's user left it.
    pub fn tree(&self) -> Utf8PathBuf {
        self.place.join("tree")
    }

    /// Where objects are kept that were compiled without any fix.
    pub fn originals(&self) -> Utf8PathBuf {
        self.place.join("originals")
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
        self.read(&self.tree().join("Module.symvers"))
    }

    /// The source files that are compiled into vmlinux and the modules, and those that they
    /// include.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub(crate) fn sources(&self) -> Result<SourceIndex, Failure> {
        Ok(SourceIndex::parse(&self.read(&self.place.join(facts::SOURCES))?))
    }

    /// The target's loadable modules.
    ///
    /// # Errors
    /// When the list cannot be read.
    #[allow(dead_code, reason = "modules are not tried yet")]
    pub(crate) fn modules(&self) -> Result<ModuleTable, Failure> {
        Ok(ModuleTable::parse(&self.read(&self.place.join(facts::MODULE_TABLE))?))
    }

    /// Refuses a target whose running image is not the one of the package.
    ///
    /// # Errors
    /// `build-id-mismatch`.
    pub fn check_build_id(&self, build_id: Option<&ElfBuildId>) -> Result<(), Failure> {
        match build_id {
            Some(build_id) if *build_id != self.facts.build_id => Err(Failure::new(
                FailureClass::BuildIdMismatch,
                format!(
                    "the target runs the image {build_id}, and {} is {}",
                    self.facts.source.name(),
                    self.facts.build_id
                ),
                "the running kernel is not Debian's package of that release: was it rebuilt, or is \
                 a newer one installed but not booted?",
            )),
            _ => Ok(()),
        }
    }

    fn read(&self, path: &Utf8Path) -> Result<String, Failure> {
        fs_err::read_to_string(path)
            .map_err(|error| io_failure(FailureClass::BaseFailed, "read", path, &error))
    }
}

/// The facts of all complete bases. Whether one is damaged shows when it is used: looking at the
/// files of all would cost every build.
fn all(cache: &Cache) -> impl Iterator<Item = BaseFacts> {
    let entries = cache.bases().read_dir_utf8().into_iter().flatten();
    entries.flatten().filter_map(|entry| BaseFacts::peek(entry.path()).ok().flatten())
}

/// Names the base's directory: the release for people, and a digest of what it is made from.
fn directory_name(input: &BaseInput) -> String {
    let mut text = format!("{PREPARATION}\n{}\n", input.toolchain.digest());
    text.push_str(&input.source.identity());
    format!("{}-{}", input.release, Sha256Digest::of(text.as_bytes()).short())
}
