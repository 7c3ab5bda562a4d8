use std::sync::OnceLock;

use camino::Utf8Path;
use elivepatch_model::{BuilderIdentity, Failure, KernelRelease, ProbeRecord, TargetFacts};

use crate::{
    BaselinePatch, BuildOrder, BuilderOptions, Cache, DebianOptions, FinishedBuild,
    HousekeepingError, ModuleSigner, Observer, SourceKind, Sweep, Swept,
    base::Base,
    debian::{Apt, names_of_indexes, stock_releases},
    left_out::KeptLists,
    pipeline::{self, WarmBase},
    process::available_cores,
    sandbox::Sandbox,
    source::Sources,
    toolchain::Toolchains,
    trial::Accelerator,
};

/// Which code decides about livepatches: a digest of it, from `build.rs`. The same version of
/// elivepatch may be built from other code while it is being worked on.
const CODE_REVISION: &str = env!("ELIVEPATCH_CODE_REVISION");

/// The names of apt's indexes that a builder with these options uses, in the directory `apt` of its cache.
pub fn index_names(
    options: &BuilderOptions,
    cache: &Cache,
    toolchains: &Toolchains,
) -> Vec<String> {
    let own = options.sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Debian(Some(options)) => Some(DebianOptions::clone(options)),
        _ => None,
    });
    // Commands that need no recipe open the archive as it is.
    let common = [options.debian.clone(), toolchains.with_suites(&options.debian)];
    names_of_indexes(cache, &own.chain(common).collect::<Vec<_>>())
}

/// Turns orders into livepatches.
#[derive(Debug)]
pub struct Builder {
    pub(crate) options: BuilderOptions,
    pub(crate) cache: Cache,
    pub(crate) sandbox: Sandbox,
    pub(crate) toolchains: Toolchains,
    /// The sources of the options, as they were found when the builder was opened.
    pub(crate) sources: Sources,
    /// What was read of bases to say why files are not in their kernels.
    pub(crate) object_lists: KeptLists,
    apt: OnceLock<Apt>,
    /// The names of apt's indexes, found out once: each costs a run of apt.
    indexes: OnceLock<Vec<String>>,
    accelerator: OnceLock<Accelerator>,
}

impl Builder {
    /// Opens the cache and tries the sandbox. `scratch` is a directory for the attempt.
    ///
    /// # Errors
    /// When the cache cannot be written or no sandbox can be made.
    pub fn open(options: BuilderOptions, scratch: &Utf8Path) -> Result<Self, Failure> {
        // What is made here is read by the sandbox's user, whatever the caller's mask.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let cache = Cache::open(&options.cache_directory)?;
        let probed = Sandbox::probe(options.limits, scratch)?;
        let sandbox = if options.overlay { probed } else { probed.without_overlays() };
        let toolchains = match &options.toolchain_recipes {
            Some(directory) => Toolchains::with_directory(&cache, directory)?,
            None => Toolchains::new(&cache),
        };
        // Builds are known by their keys, and those by what the trees are now.
        let sources = Sources::open(&options.sources, &cache);
        Ok(Self {
            options,
            cache,
            sandbox,
            toolchains,
            sources,
            object_lists: KeptLists::default(),
            apt: OnceLock::new(),
            indexes: OnceLock::new(),
            accelerator: OnceLock::new(),
        })
    }

    /// What decides the builder's results beside the order: its version and code, its recipes and
    /// its source trees.
    pub fn identity(&self) -> BuilderIdentity {
        let recipes = self.toolchains.recipes().iter();
        let recipes: String =
            recipes.map(|recipe| format!(" {} {}", recipe.name, recipe.digest)).collect();
        let mut common = format!("{}+{CODE_REVISION}{recipes}", env!("CARGO_PKG_VERSION"));
        if let Some(signer) = self.signer() {
            common.push_str(&format!(" signer {}", signer.identity()));
        }
        let BuilderOptions { header_objects, probe_header_objects, allow_unproven, debian, .. } =
            &self.options;
        // By the names that the server's config has for them.
        let rules = format!(
            "header_objects = {header_objects}, cve_header_objects = {probe_header_objects}, allow_unproven = \
             {allow_unproven}, suites = {:?}",
            debian.suites
        );
        BuilderIdentity { common, sources: self.sources.identities(), rules }
    }

    /// What it can do, one line each, for people.
    pub fn describe(&self) -> Vec<String> {
        let mut lines = vec![self.sandbox.describe()];
        lines.extend(self.toolchains.recipes().iter().map(|recipe| {
            format!("toolchain root {}: for kernels built by {}", recipe.name, recipe.compilers())
        }));
        lines.extend(self.sources.describe());
        lines.extend(self.signer().iter().map(ModuleSigner::describe));
        let warm = self.warm_releases();
        lines.push(match warm.len() {
            0 => "bases ready: none yet; the first build of a kernel takes a minute longer"
                .to_owned(),
            _ => format!("bases ready: {}", warm.join(", ")),
        });
        lines
    }

    /// Why sources of the options cannot be used, each with what says which one it is behind the
    /// word `[[source]]`. Builds that need one of them fail.
    pub fn unusable_sources(&self) -> Vec<(String, Failure)> {
        self.sources.unusable()
    }

    /// What signs modules; `None` when they are not signed.
    pub fn signer(&self) -> Option<ModuleSigner> {
        self.options.signing.clone().map(ModuleSigner::new)
    }

    /// The releases of which a base is ready.
    pub fn warm_releases(&self) -> Vec<String> {
        Base::releases(&self.cache).iter().map(ToString::to_string).collect()
    }

    /// Builds, inspects and tries a livepatch. `work` is an empty directory for it; what is in it
    /// afterwards is the caller's to remove.
    ///
    /// # Errors
    /// Why there is no livepatch: a failure with its class and step.
    pub fn build(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<FinishedBuild, Failure> {
        let result = pipeline::run(self, order, observer, work);
        self.keep_disk_budget();
        result
    }

    /// Does all of a build but the trial, to see whether its fixes can be a livepatch. `work` is as for
    /// [`Builder::build`].
    ///
    /// # Errors
    /// Why they cannot.
    pub fn probe(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<ProbeRecord, Failure> {
        let result = pipeline::probe(self, order, observer, work);
        self.keep_disk_budget();
        result
    }

    fn keep_disk_budget(&self) {
        if self.options.disk_budget_bytes.is_some() {
            // It is tried again after the next build.
            match self.sweep() {
                Ok(swept) => swept.log(),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "the disk budget could not be kept");
                }
            }
        }
    }

    /// Makes the base of a kernel ready, with all that it needs, without a livepatch. Gives its name
    /// in the cache, and what was done for it.
    ///
    /// # Errors
    /// As [`Builder::build`], for its first three steps.
    pub fn warm(
        &self,
        target: &TargetFacts,
        config: &[u8],
        baseline: &[BaselinePatch],
        observer: &dyn Observer,
    ) -> Result<WarmBase, Failure> {
        pipeline::warm(self, target, config, baseline, observer)
    }

    /// The config of a stock kernel, from its package.
    ///
    /// # Errors
    /// As [`crate::stock_config`].
    pub fn stock_config(
        &self,
        release: &KernelRelease,
        observer: &dyn Observer,
    ) -> Result<Vec<u8>, Failure> {
        crate::stock_config(self.apt()?, release, observer)
    }

    /// The stock kernels whose source has a version of Linux: of a release without a suffix, such as `6.1.176`.
    ///
    /// # Errors
    /// When the archive's index cannot be fetched or read.
    pub fn stock_releases(
        &self,
        version: &KernelRelease,
        observer: &dyn Observer,
    ) -> Result<Vec<KernelRelease>, Failure> {
        stock_releases(self.apt()?, version, observer)
    }

    /// Removes from the cache what was given up, and what is over the disk budget; what is in use or
    /// pinned stays.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn sweep(&self) -> Result<Swept, HousekeepingError> {
        let sweep = Sweep {
            budget_bytes: self.options.disk_budget_bytes,
            recipes: self.toolchains.names(),
            indexes: self
                .indexes
                .get_or_init(|| index_names(&self.options, &self.cache, &self.toolchains))
                .clone(),
            ..Sweep::default()
        };
        sweep.run(&self.cache)
    }

    /// apt, opened when it is first needed: finding out the mirrors takes a while.
    pub(crate) fn apt(&self) -> Result<&Apt, Failure> {
        if let Some(apt) = self.apt.get() {
            return Ok(apt);
        }
        let options = self.toolchains.with_suites(&self.options.debian);
        let apt = Apt::open(&self.cache, &options)?;
        Ok(self.apt.get_or_init(|| apt))
    }

    /// What runs guests here. `try_it` finds out, once.
    pub(crate) fn accelerator(&self, try_it: impl FnOnce() -> Accelerator) -> Accelerator {
        *self.accelerator.get_or_init(try_it)
    }

    pub(crate) fn jobs(&self) -> u32 {
        match self.options.jobs {
            0 => available_cores(),
            jobs => jobs,
        }
    }
}
