//! Builds a livepatch without a server: `build CACHE WORK RELEASE CONFIG PATCH…`. For trying the
//! builder by hand. `SOURCE` in the environment is a source tree for the release, `ENGINE` the engine.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use elivepatch_builder::{BuildOrder, Builder, BuilderOptions, FixText, Observer, SourceTree};
use elivepatch_model::{
    AdaptationKind, AdaptationKindError, Architecture, BuildEvent, BuildKey, Fix, Sha256Digest,
    StepState, TargetFacts,
};

struct Printer;

impl Observer for Printer {
    fn event(&self, event: BuildEvent) {
        match event {
            BuildEvent::Step { step } if step.state != StepState::Running => println!(
                "{:9} {:7.2} s  {}",
                step.name,
                step.duration_seconds.unwrap_or_default(),
                step.summary.unwrap_or_default()
            ),
            BuildEvent::Progress { what, done, total, unit, .. } => {
                println!("  {what}: {done} of {total} {unit}");
            }
            BuildEvent::Log { step, line } => println!("  {step}: {line}"),
            _ => {}
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// The adaptations that are named in `ELIVEPATCH_WITHOUT`, with commas between them.
fn switched_off() -> Result<BTreeSet<AdaptationKind>, AdaptationKindError> {
    let names = std::env::var("ELIVEPATCH_WITHOUT").unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::parse).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cache, work, release, config, patches @ ..] = arguments.as_slice() else {
        return Err("usage: build CACHE WORK RELEASE CONFIG PATCH…".into());
    };
    let work = Utf8PathBuf::from(work);
    let scratch = work.join("scratch");
    fs_err::create_dir_all(&scratch)?;
    let mut options = BuilderOptions::new(cache.into());
    if let Ok(path) = std::env::var("SOURCE") {
        let tree = SourceTree { release: release.parse()?, path: path.into() };
        options.sources.push(tree.into());
    }
    let builder = Builder::open(options, &scratch)?;
    for line in builder.describe() {
        println!("{line}");
    }
    let mut fixes = Vec::new();
    for patch in patches {
        let text = fs_err::read(patch)?;
        let name = Utf8PathBuf::from(patch).file_name().unwrap_or("patch").to_owned();
        fixes.push(FixText { fix: Fix { name, digest: Sha256Digest::of(&text) }, text });
    }
    let engine = std::env::var("ENGINE").ok().map(|name| name.parse()).transpose()?;
    let order = BuildOrder {
        key: BuildKey(Sha256Digest::of(patches.concat().as_bytes())),
        target: TargetFacts::new(release.parse()?, Architecture::X86_64),
        config: fs_err::read(config)?,
        fixes,
        checks: Vec::new(),
        without: switched_off()?,
        rebuild: None,
        engine,
        kallsyms: std::env::var("KALLSYMS").ok().map(fs_err::read).transpose()?,
        baseline: Vec::new(),
        replaces: None,
        stack: std::env::var_os("STACK").is_some(),
        accept_unproven: std::env::var_os("ACCEPT_UNPROVEN").is_some(),
    };
    match builder.build(&order, &Printer, &work) {
        Ok(finished) => println!("{}", serde_json::to_string_pretty(&finished.manifest)?),
        Err(failure) => {
            println!("{}", serde_json::to_string_pretty(&failure)?);
            std::process::exit(3);
        }
    }
    Ok(())
}
