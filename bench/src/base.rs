//! Making a base ready from packages that are there, and what it takes on the disk: `base.prepare`
//! and `base.disk`.

use std::{process::Command, time::Instant};

use anyhow::{Context, bail};
use camino::Utf8PathBuf;
use clap::Args;
use elivepatch_builder::{Builder, BuilderOptions, SilentObserver, list_bases};
use elivepatch_model::{Architecture, KernelRelease, StepName, TargetFacts};

use crate::{figures::Figures, note, say};

/// What the figures are of, in the file that several parts write.
const NAMES: &str = "base.";

/// What making a base ready may take on two cores, in seconds.
const PREPARE_SECONDS: f64 = 45.0;

/// What a prepared base of a cloud kernel may take, in megabytes.
const DISK_MEGABYTES: f64 = 3000.0;

/// What is measured with.
#[derive(Debug, Args)]
pub struct Inputs {
    /// The cache that the demonstration fills: packages and toolchain root are taken from it.
    #[arg(long, value_name = "DIRECTORY")]
    cache: Utf8PathBuf,
    /// The target's release.
    #[arg(long)]
    release: KernelRelease,
    /// The target's config.
    #[arg(long, value_name = "FILE")]
    config: Utf8PathBuf,
    /// Gets sources.json.
    #[arg(long, value_name = "DIRECTORY")]
    output: Utf8PathBuf,
}

/// Measures, and writes the figures to sources.json, beside those of other parts.
///
/// # Errors
/// When the base cannot be made, or the inputs cannot be used.
pub fn run(inputs: &Inputs) -> anyhow::Result<()> {
    let absolute = |path: &Utf8PathBuf| camino::absolute_utf8(path).context("no usable path");
    let (cache, output) = (absolute(&inputs.cache)?, absolute(&inputs.output)?);
    fs_err::create_dir_all(&output)?;
    // Within the output: packages are not copied, so that the two need not share a disk.
    let scratch = tempfile::tempdir_in(&output).context("there is nowhere to work")?;
    let place = Utf8PathBuf::from_path_buf(scratch.path().join("cache"));
    let place = place.ok().context("the path is not UTF-8")?;
    fs_err::create_dir_all(&place)?;
    for shared in ["packages", "toolchain-roots"] {
        fs_err::os::unix::fs::symlink(cache.join(shared), place.join(shared))?;
    }
    // apt's configuration names the directory that it lies in.
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--"]).arg(cache.join("apt")).arg(&place);
    if !copy.status()?.success() {
        bail!("the apt directory of {cache} cannot be copied");
    }

    say("a base from packages that are there; the toolchain root is there, too");
    let builder = Builder::open(BuilderOptions::new(place.clone()), &place)?;
    let target = TargetFacts::new(inputs.release.clone(), Architecture::X86_64);
    let config = fs_err::read(&inputs.config).context("no config")?;
    let began = Instant::now();
    let base = builder.warm(&target, &config, &[], &SilentObserver)?;
    let whole = began.elapsed().as_secs_f64();
    let step = base.steps.iter().find(|step| step.name == StepName::Base);
    let seconds = step.and_then(|step| step.duration_seconds).context("it has no such step")?;
    let listed = list_bases(&elivepatch_builder::Cache::open(&place)?)?;
    let bytes = listed.iter().find(|listed| listed.name == base.name).context("not listed")?.bytes;
    note(format!("{seconds:.2} s for the base, {whole:.2} s in all; {:.0} MB", bytes as f64 / 1e6));

    let mut figures = Figures::default();
    figures.seconds("base.prepare", seconds).target(PREPARE_SECONDS);
    figures.seconds("base.prepare.all_steps", whole);
    figures.memory("base.disk", bytes).target(DISK_MEGABYTES);
    let path = output.join("sources.json");
    figures.write_beside_others(&path, NAMES)?;
    println!("{}", crate::table::table(&figures));
    println!("figures: {path}");
    Ok(())
}
