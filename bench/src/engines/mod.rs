//! The engines on kernels that were built from source: `engines.json`, and the comparison with
//! kpatch-build.

mod compare_run;
mod compile_only;
mod kernels;
mod klp;
mod kpatch;
mod many;
mod timed;
mod variants;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use elivepatch_builder::{
    Apt, Builder, BuilderOptions, Cache, DebianOptions, SilentObserver, SourceTree, Toolchains,
};
use elivepatch_model::KernelConfig;

use crate::{figures::Figures, table};
use kernels::{SourceKernel, source_tarball};
use timed::Kernel;

pub use compare_run::{CompareInputs, compare};

/// What the engines are measured with.
#[derive(Debug, Args)]
pub struct Inputs {
    /// The cache that demonstration and tests fill.
    #[arg(long, value_name = "DIRECTORY")]
    pub cache: Utf8PathBuf,
    /// The directory with the configs of the small kernels.
    #[arg(long, value_name = "DIRECTORY")]
    pub kernels: Utf8PathBuf,
    /// Gets engines.json.
    #[arg(long, value_name = "DIRECTORY")]
    pub output: Utf8PathBuf,
    /// Leave out what takes long: kpatch-build itself and the kernel for klp-build.
    #[arg(long)]
    pub quick: bool,
    /// Measure one part only, into engines-PART.json.
    #[arg(long, value_enum, conflicts_with = "quick")]
    pub only: Option<Part>,
}

/// A part of the measurements that stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// One file by the kpatch engine.
    Kpatch,
    /// Many files, many builds, many dependants of a header.
    Many,
    /// One file by the klp-build engine.
    Klp,
}

impl Part {
    /// What the part's file is called.
    fn file_name(self) -> String {
        let name = clap::ValueEnum::to_possible_value(&self);
        format!("engines-{}.json", name.as_ref().map_or("part", |name| name.get_name()))
    }
}

/// The inputs, opened.
pub struct Setting {
    /// The builder, with the sources of the small kernels.
    pub builder: Builder,
    /// Its cache.
    pub cache: Cache,
    /// The directory of it.
    pub cache_directory: Utf8PathBuf,
    /// Debian's archive.
    pub apt: Apt,
    /// Where everything that is thrown away lies.
    pub scratch: Utf8PathBuf,
    /// The 6.12 kernel without IBT: the one that kpatch-build serves too.
    pub plain: SourceKernel,
    /// The 7.3 kernel, with IBT.
    pub newest: SourceKernel,
}

impl Setting {
    /// Fetches the sources and opens the builder.
    ///
    /// # Errors
    /// When something is missing.
    pub fn open(inputs: &Inputs) -> anyhow::Result<Self> {
        let absolute = |path: &Utf8Path| camino::absolute_utf8(path).context("no usable path");
        let (cache_directory, output) = (absolute(&inputs.cache)?, absolute(&inputs.output)?);
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let scratch = output.join("engines");
        if scratch.exists() {
            fs_err::remove_dir_all(&scratch)?;
        }
        fs_err::create_dir_all(scratch.join("probe"))?;
        let cache = Cache::open(&cache_directory)?;
        let apt = Apt::open(&cache, &DebianOptions::default())?;
        let kernels = absolute(&inputs.kernels)?;
        let plain = SourceKernel::read(&kernels, "6.12-small", "linux-source-6.12")?;
        let newest = SourceKernel::read(&kernels, "7.3-small-ibt", "linux-source-7.3")?;
        let mut options = BuilderOptions::new(cache_directory.clone());
        options.allow_unproven = true;
        for kernel in [&plain, &newest] {
            let path = source_tarball(kernel, &cache_directory, &apt)?;
            options.sources.push(SourceTree { release: kernel.release.clone(), path }.into());
        }
        let builder = Builder::open(options, &scratch.join("probe"))?;
        Ok(Self { builder, cache, cache_directory, apt, scratch, plain, newest })
    }

    fn kernel(&self, source: &SourceKernel) -> Kernel<'_> {
        Kernel {
            builder: &self.builder,
            target: source.target(),
            config: source.config.clone(),
            scratch: self.scratch.clone(),
        }
    }

    fn tarball(&self, source: &SourceKernel) -> anyhow::Result<Utf8PathBuf> {
        source_tarball(source, &self.cache_directory, &self.apt)
    }

    /// The toolchain root that serves a config.
    fn toolchain_root(&self, config: &[u8]) -> anyhow::Result<Utf8PathBuf> {
        let config = KernelConfig::parse(config)?;
        let toolchains = Toolchains::new(&self.cache);
        Ok(toolchains.root_for(&config, &self.apt, &SilentObserver)?.path())
    }
}

/// Measures everything and writes engines.json.
///
/// # Errors
/// When a build fails that must not.
pub fn run(inputs: &Inputs) -> anyhow::Result<()> {
    let setting = Setting::open(inputs)?;
    let mut figures = Figures::default();
    let path = match inputs.only {
        None => inputs.output.join("engines.json"),
        Some(part) => inputs.output.join(part.file_name()),
    };
    let wants = |part| inputs.only.is_none_or(|only| only == part);
    // After each part: the next one may take long, or fail.
    if wants(Part::Kpatch) {
        kpatch::measure(&setting, &mut figures)?;
        figures.write(&path)?;
    }
    if wants(Part::Many) {
        many::measure(&setting, &mut figures)?;
        figures.write(&path)?;
    }
    if inputs.only.is_none() && !inputs.quick {
        kpatch::measure_kpatch_build(&setting, &mut figures)?;
        figures.write(&path)?;
    }
    if wants(Part::Klp) && !inputs.quick {
        klp::measure(&setting, &mut figures)?;
        figures.write(&path)?;
    }
    println!("{}", table::table(&figures));
    println!("figures: {path}");
    fs_err::remove_dir_all(&setting.scratch)?;
    Ok(())
}
