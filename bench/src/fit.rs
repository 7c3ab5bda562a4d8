//! What the proof of fit costs: comparing compiled objects with a stock kernel's own code.

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{
    Builder, BuilderOptions, FitSurvey, FitSurveyInput, SilentObserver, remove_work_directory,
};
use elivepatch_model::{Failure, KernelRelease};

use crate::{figures::Figures, median::median, note, say, table};

/// How often one object is compared.
const RUNS: usize = 5;

/// Objects that are compared together.
const MANY: usize = 300;

/// Comparing one object, in seconds at most.
const OBJECT_TARGET: f64 = 0.1;

/// Comparing many, as a part of compiling them at most.
const MANY_TARGET: f64 = 0.02;

/// What is measured with.
#[derive(Debug, clap::Args)]
pub struct Inputs {
    /// The cache with packages, toolchain roots and bases.
    #[arg(long, value_name = "DIR")]
    cache: Utf8PathBuf,
    /// A stock kernel of Debian.
    #[arg(long)]
    release: KernelRelease,
    /// Where sources.json goes.
    #[arg(long, value_name = "DIR")]
    output: Utf8PathBuf,
}

/// Measures, prints a table and writes sources.json.
///
/// # Errors
/// When the base cannot be had, and when an object differs.
pub fn run(inputs: &Inputs) -> anyhow::Result<()> {
    let output = camino::absolute_utf8(&inputs.output).context("no usable path")?;
    let cache = camino::absolute_utf8(&inputs.cache).context("no usable path")?;
    let scratch = output.join("sources");
    fs_err::create_dir_all(scratch.join("probe"))?;
    let builder =
        Builder::open(BuilderOptions::new(cache), &scratch.join("probe")).map_err(described)?;
    let mut figures = Figures::default();
    measure(&builder, &inputs.release, &scratch, &mut figures)?;
    let path = output.join("sources.json");
    figures.write_beside_others(&path, "fit.")?;
    println!("{}", table::table(&figures));
    println!("figures: {path}");
    Ok(remove_work_directory(&scratch)?)
}

/// Compares one object several times, and many at once.
fn measure(
    builder: &Builder,
    release: &KernelRelease,
    scratch: &Utf8Path,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    say(format!("comparing objects of {release} with its own code"));
    let mut times = Vec::new();
    for number in 0..=RUNS {
        let survey = survey(builder, release, 1, &scratch.join(format!("one-{number}")))?;
        // The first one takes the kernel out of its bootable image: once for a base.
        match number {
            0 => note(format!("the first one {:.3} s", survey.compare_seconds)),
            _ => times.push(survey.compare_seconds),
        }
    }
    figures.seconds("fit.object", median(times)).target(OBJECT_TARGET);
    let survey = survey(builder, release, MANY, &scratch.join("many"))?;
    let functions: usize = survey.equal.iter().map(|object| object.functions).sum();
    note(format!("{functions} functions of {} objects are equal", survey.equal.len()));
    let FitSurvey { compile_seconds, compare_seconds, .. } = survey;
    figures
        .seconds("fit.300.seconds", compare_seconds)
        .compared_with("compiling the same objects", compile_seconds);
    figures.times("fit.300", compare_seconds / compile_seconds).target(MANY_TARGET);
    Ok(())
}

fn survey(
    builder: &Builder,
    release: &KernelRelease,
    objects: usize,
    work: &Utf8Path,
) -> anyhow::Result<FitSurvey> {
    fs_err::create_dir_all(work)?;
    let input = FitSurveyInput { release: release.clone(), objects, sources: Vec::new() };
    let survey = builder.survey_fit(&input, &SilentObserver, work).map_err(described)?;
    remove_work_directory(work)?;
    anyhow::ensure!(
        survey.failures.is_empty(),
        "what was compared differs: {}",
        survey.failures.first().map(|failure| failure.message.as_str()).unwrap_or_default()
    );
    Ok(survey)
}

fn described(failure: Failure) -> anyhow::Error {
    anyhow::anyhow!("{failure}\n{}", failure.details.join("\n"))
}
