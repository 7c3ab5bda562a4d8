//! Where the worker meets what builds: the only place that knows both.

use std::{sync::Arc, time::Duration};

use camino::Utf8Path;
use elivepatch_builder::{
    Apt, Bases, BuildOrder, Builder, BuilderOptions, Cache, FinishedBuild, HousekeepingError,
    InventoryError, KernelInventory, Observer, SandboxLimits, SigningOptions, SilentObserver,
    Swept, Toolchains,
};
use elivepatch_model::{BuilderIdentity, Failure, KernelRelease, ProbeRecord, TargetFacts};
use elivepatch_server::{
    ServerConfig,
    app::{Inventories, Inventory},
};

use crate::{error::CommandError, report, source_options::source_options};

/// What the worker needs of a builder. Calls block.
pub trait BuildRunner: Send + Sync {
    /// Everything of the builder that decides what it makes of a request.
    fn identity(&self) -> BuilderIdentity;

    /// The releases of which a base is ready.
    fn warm_releases(&self) -> Vec<String>;

    /// What it can do and what limits it, one line each, for the start of the server.
    fn describe(&self) -> Vec<String>;

    /// Why sources of the config cannot be used, each with what says which one it is behind the word
    /// `[[source]]`.
    fn unusable_sources(&self) -> Vec<(String, Failure)>;

    /// Why modules cannot be signed, where they are to be.
    fn signing_problem(&self) -> Option<Failure>;

    /// What the kernel of a target is built from; `None` when no base of it is ready.
    ///
    /// # Errors
    /// When a base cannot be read, or it cannot be told which of several is that of the kernel.
    fn inventory(&self, target: &TargetFacts) -> Result<Option<KernelInventory>, InventoryError>;

    /// The config of a stock kernel, from its package.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn stock_config(&self, release: &KernelRelease) -> Result<Vec<u8>, Failure>;

    /// The stock kernels whose source has the version of a release without a suffix.
    ///
    /// # Errors
    /// When the archive cannot be asked.
    fn stock_releases(&self, version: &KernelRelease) -> Result<Vec<KernelRelease>, Failure>;

    /// Cleans the cache.
    ///
    /// # Errors
    /// When the cache cannot be read.
    fn sweep(&self) -> Result<Swept, HousekeepingError>;

    /// Does one build in the directory `work`, which is empty and is removed afterwards.
    ///
    /// # Errors
    /// The failure of the build.
    fn build(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<FinishedBuild, Failure>;

    /// Does all of a build but the trial, likewise.
    ///
    /// # Errors
    /// The failure of the build.
    fn probe(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<ProbeRecord, Failure>;
}

/// The bases of a builder, for the server's questions about CVEs.
#[derive(Clone)]
pub struct Kernels(pub Arc<dyn BuildRunner>);

impl std::fmt::Debug for Kernels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Kernels")
    }
}

impl Inventories for Kernels {
    fn find(&self, target: &TargetFacts) -> Result<Option<Inventory>, String> {
        let found = self.0.inventory(target).map_err(|error| error.to_string())?;
        Ok(found.map(known))
    }

    fn stock_config(&self, release: &KernelRelease) -> Result<Vec<u8>, Failure> {
        self.0.stock_config(release)
    }

    fn stock_releases(&self, version: &KernelRelease) -> Result<Vec<KernelRelease>, Failure> {
        self.0.stock_releases(version)
    }
}

/// The bases of a cache that a server may be using, for a command's questions about CVEs.
#[derive(Debug)]
pub struct BasesBeside {
    bases: Bases,
    config: ServerConfig,
}

impl BasesBeside {
    /// Those of a config's cache; `None` when it is not there yet.
    ///
    /// # Errors
    /// When it is there and cannot be used.
    pub fn of(config: &ServerConfig) -> Result<Option<Self>, Failure> {
        if !config.cache_directory.is_dir() {
            return Ok(None);
        }
        let bases = Bases::new(Cache::open(&config.cache_directory)?);
        Ok(Some(Self { bases, config: config.clone() }))
    }
}

impl Inventories for BasesBeside {
    fn find(&self, target: &TargetFacts) -> Result<Option<Inventory>, String> {
        let found = self.bases.inventory(target).map_err(|error| error.to_string())?;
        Ok(found.map(known))
    }

    fn stock_config(&self, release: &KernelRelease) -> Result<Vec<u8>, Failure> {
        stock_config(&self.config, release, &SilentObserver)
    }

    fn stock_releases(&self, version: &KernelRelease) -> Result<Vec<KernelRelease>, Failure> {
        let cache = Cache::open(&self.config.cache_directory)?;
        let apt = Apt::open(&cache, &options(&self.config).debian)?;
        elivepatch_builder::stock_releases(&apt, version, &SilentObserver)
    }
}

fn known(mut kernel: KernelInventory) -> Inventory {
    let built = std::mem::take(&mut kernel.built);
    let kernel = Arc::new(kernel);
    let same = Arc::clone(&kernel);
    Inventory {
        base: kernel.base.clone(),
        version: kernel.version.clone(),
        built,
        has_file: Box::new(move |path| kernel.has_file(path)),
        left_out: Box::new(move |path| same.left_out(path)),
    }
}

/// Opens the builder with the server's config.
///
/// # Errors
/// When the cache cannot be used or the machine allows no sandbox.
pub fn open(config: &ServerConfig) -> Result<Arc<dyn BuildRunner>, CommandError> {
    let scratch = tempfile::tempdir_in(&config.data_directory).map_err(|error| {
        let message = format!("cannot write to {}: {error}", config.data_directory);
        CommandError::input(anyhow::Error::msg(message), "choose another data_directory")
    })?;
    let place = Utf8Path::from_path(scratch.path()).expect("below a directory with a UTF-8 name");
    let options = options(config);
    tracing::debug!(cache = %config.cache_directory, jobs = options.jobs, "opening the builder");
    let builder = Builder::open(options, place).map_err(|failure| {
        let hint = failure.hint.clone();
        let details = failure.details.join("; ");
        let error = anyhow::Error::new(failure);
        let error =
            if details.is_empty() { error } else { anyhow::Error::msg(details).context(error) };
        CommandError::input(error, hint)
    })?;
    Ok(Arc::new(builder))
}

/// Says what a builder can do, and what will not work.
pub fn announce(runner: &dyn BuildRunner, unsigned: Option<&Failure>) {
    for line in runner.describe() {
        anstream::eprintln!("worker: {line}");
    }
    for (source, failure) in runner.unusable_sources() {
        report::warn(&format!(
            "builds that need it will fail: the [[source]] {source} cannot be used: {failure}; {}",
            failure.hint
        ));
    }
    if let Some(failure) = unsigned {
        report::warn(&format!("builds will fail: {failure}; {}", failure.hint));
    }
}

/// The config of a stock kernel in the archive that the server looks in.
///
/// # Errors
/// As [`elivepatch_builder::stock_config`].
pub fn stock_config(
    config: &ServerConfig,
    release: &KernelRelease,
    observer: &dyn Observer,
) -> Result<Vec<u8>, Failure> {
    let cache = Cache::open(&config.cache_directory)?;
    let apt = Apt::open(&cache, &options(config).debian)?;
    elivepatch_builder::stock_config(&apt, release, observer)
}

/// The toolchain roots that a server with this config can have.
///
/// # Errors
/// When a recipe of the administrator cannot be used.
pub fn toolchains(config: &ServerConfig, cache: &Cache) -> Result<Toolchains, Failure> {
    match &config.toolchain_recipes {
        Some(directory) => Toolchains::with_directory(cache, directory),
        None => Ok(Toolchains::new(cache)),
    }
}

/// What modules are signed with; `None` when they are not signed.
pub fn signing_options(config: &ServerConfig) -> Option<SigningOptions> {
    let section = &config.signing;
    let certificate = section.certificate()?;
    Some(SigningOptions {
        key: section.module_key.clone()?,
        certificate: certificate.to_owned(),
        hash: section.module_hash,
        passphrase_file: section.module_passphrase_file.clone(),
    })
}

/// What the config says to the builder.
pub fn options(config: &ServerConfig) -> BuilderOptions {
    let section = &config.builder;
    let mut options = BuilderOptions::new(config.cache_directory.clone());
    options.limits = SandboxLimits {
        time: Duration::from_secs(section.build_time_limit_seconds),
        silence: Duration::from_secs(section.silence_limit_seconds),
        memory_bytes: section.memory_limit_mib << 20,
        processes: section.process_limit,
        output_bytes: section.output_limit_mib << 20,
        disk_bytes: section.disk_limit_mib << 20,
    };
    options.base_limits = SandboxLimits {
        time: Duration::from_secs(section.base_build_seconds),
        silence: SandboxLimits::for_bases().silence.max(options.limits.silence),
        output_bytes: SandboxLimits::for_bases().output_bytes.max(options.limits.output_bytes),
        disk_bytes: section.base_disk_limit_mib << 20,
        ..options.limits
    };
    options.trial_time = Duration::from_secs(section.trial_time_limit_seconds);
    options.jobs = section.jobs;
    options.header_objects = section.header_objects;
    options.probe_header_objects = config.policy.cve_header_objects;
    options.originals_bytes = section.originals_limit_mib << 20;
    options.overlay = section.overlay;
    options.allow_unproven = config.policy.allow_unproven;
    options.signing = signing_options(config);
    options.toolchain_recipes.clone_from(&config.toolchain_recipes);
    options.disk_budget_bytes = config.cache.disk_budget_gib.map(|gib| gib << 30);
    options.debian.mirror.clone_from(&config.debian.mirror);
    options.debian.security_mirror.clone_from(&config.debian.security_mirror);
    options.debian.suites.clone_from(&config.debian.suites);
    options.sources = config
        .sources
        .iter()
        .filter_map(|source| source_options(source, &options.debian))
        .collect();
    options
}

impl BuildRunner for Builder {
    fn identity(&self) -> BuilderIdentity {
        Builder::identity(self)
    }

    fn warm_releases(&self) -> Vec<String> {
        Builder::warm_releases(self)
    }

    fn describe(&self) -> Vec<String> {
        Builder::describe(self)
    }

    fn inventory(&self, target: &TargetFacts) -> Result<Option<KernelInventory>, InventoryError> {
        Builder::inventory(self, target)
    }

    fn unusable_sources(&self) -> Vec<(String, Failure)> {
        Builder::unusable_sources(self)
    }

    fn signing_problem(&self) -> Option<Failure> {
        Builder::signer(self)?.try_it().err()
    }

    fn stock_config(&self, release: &KernelRelease) -> Result<Vec<u8>, Failure> {
        Builder::stock_config(self, release, &SilentObserver)
    }

    fn stock_releases(&self, version: &KernelRelease) -> Result<Vec<KernelRelease>, Failure> {
        Builder::stock_releases(self, version, &SilentObserver)
    }

    fn sweep(&self) -> Result<Swept, HousekeepingError> {
        Builder::sweep(self)
    }

    fn build(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<FinishedBuild, Failure> {
        Builder::build(self, order, observer, work)
    }

    fn probe(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<ProbeRecord, Failure> {
        Builder::probe(self, order, observer, work)
    }
}
