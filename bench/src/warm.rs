//! Builds on a prepared base: `build.warm`, `build.overhead` and their parts.

use anyhow::Context;
use elivepatch_model::StepName;
use tokio::runtime::Runtime;

use crate::{
    by_hand::ByHand,
    figures::Figures,
    median::median,
    note, say,
    server::Server,
    setting::Setting,
    timed_build::{TimedBuild, Until},
    tools::{tool_runs, union_seconds},
};

/// Builds that are measured, each of another patch.
const BUILDS: u32 = 5;

/// Livepatches by hand.
const BY_HAND: u32 = 3;

/// How often a tool that does nothing is run, to see what the sandbox itself takes.
const SANDBOXES: u32 = 20;

/// The variants of the patch that are built by hand begin here.
pub const FIRST_BY_HAND: u32 = 100;

/// What making a livepatch by hand took, in seconds; and how it is done.
pub struct LivepatchByHand<'a> {
    /// The median.
    pub seconds: f64,
    /// The way.
    pub by_hand: ByHand<'a>,
}

/// Measures builds on the shared cache's base, which is prepared first when it is not there.
pub fn measure<'a>(
    setting: &'a Setting,
    runtime: &Runtime,
    figures: &mut Figures,
) -> anyhow::Result<LivepatchByHand<'a>> {
    let server = Server::start(setting, "warm", &setting.cache)?;
    let build = |variant| runtime.block_on(TimedBuild::run(setting, &server, variant, Until::End));
    say("a first build, not measured (prepares the base when there is none)");
    let first = build(0)?;
    note(format!("{:.2} s to the module", first.to_module));
    let manifest = first.manifest.context("a finished build has a manifest")?;
    let by_hand = ByHand::new(setting, manifest)?;

    say(format!("{BUILDS} builds on a prepared base, with their trials"));
    let mut builds = Vec::new();
    for variant in 1..=BUILDS {
        let timed = build(variant)?;
        note(format!(
            "{:.2} s to the module, {:.2} s to the end",
            timed.to_module,
            timed.to_end.unwrap_or_default()
        ));
        builds.push(timed);
    }
    say(format!("the same by hand, {BY_HAND} times"));
    let mut seconds_by_hand = Vec::new();
    for variant in FIRST_BY_HAND..FIRST_BY_HAND + BY_HAND {
        let seconds = by_hand.livepatch(variant)?;
        note(format!("{seconds:.2} s"));
        seconds_by_hand.push(seconds);
    }
    let seconds_by_hand = median(seconds_by_hand);

    figures
        .seconds("build.warm", median(builds.iter().map(|build| build.to_module)))
        .compared_with("the same commands by hand, one after the other", seconds_by_hand)
        .target(8.0);
    for step in StepName::ALL.into_iter().take_while(|step| *step != StepName::Trial) {
        let seconds = median(builds.iter().filter_map(|build| build.step(step)));
        figures.seconds(format!("build.warm.{step}"), seconds);
    }
    figures.seconds("build.claim", median(builds.iter().map(|build| build.to_claim)));
    figures
        .seconds("build.warm_with_trial", median(builds.iter().filter_map(|build| build.to_end)));

    say(format!("the sandbox itself: a tool that does nothing, {SANDBOXES} times"));
    let nothing = by_hand.tool("nothing", &["true"])?;
    let sandboxes: Vec<f64> =
        (0..SANDBOXES).map(|_| by_hand.run(nothing.clone())).collect::<anyhow::Result<_>>()?;
    measure_overhead(&server.log()?, &builds, median(sandboxes), figures)?;
    Ok(LivepatchByHand { seconds: seconds_by_hand, by_hand })
}

/// What is not the time of the compiler, make or kpatch's tools; the sandbox that each of them
/// runs in counts as well, although the tools' times in the log hold it.
fn measure_overhead(
    log: &str,
    builds: &[TimedBuild],
    sandbox: f64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let (mut overheads, mut sandboxes) = (Vec::new(), Vec::new());
    for build in builds {
        let mut runs = tool_runs(log, build.span()?);
        runs.retain(|run| run.is_foreign());
        anyhow::ensure!(!runs.is_empty(), "the server's log tells of no tools");
        let in_sandboxes = runs.len() as f64 * sandbox;
        let overhead = build.to_module - union_seconds(&runs) + in_sandboxes;
        note(format!("{overhead:.3} s of {:.2} s, {} tools", build.to_module, runs.len()));
        overheads.push(overhead);
        sandboxes.push(in_sandboxes);
    }
    figures.seconds("build.overhead", median(overheads)).target(1.0);
    figures.seconds("build.overhead.sandboxes", median(sandboxes));
    Ok(())
}
