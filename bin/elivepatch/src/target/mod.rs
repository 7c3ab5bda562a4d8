//! What the client finds out about the kernel to be patched.

pub mod baseline;
pub mod config_file;
pub mod facts_file;
mod gentoo;
pub mod kallsyms;
mod machine;
mod os_release;
mod proc_version;
pub mod release;
pub mod running;

use std::path::Path;

use elivepatch_facts::Missing;
use elivepatch_model::{Architecture, KernelRelease, TargetFacts};

use self::{
    baseline::{Baseline, BaselineArgs},
    config_file::ConfigFile,
    kallsyms::Symbols,
    release::Evidence,
    running::RunningKernel,
};
use crate::{
    output::say,
    problem::{Problem, warn},
};

/// What is known of a kernel to be patched.
#[derive(Debug)]
pub struct Collected {
    /// What is said of it.
    pub facts: TargetFacts,
    /// Its config.
    pub config: Option<ConfigFile>,
    /// Its symbols.
    pub symbols: Option<Symbols>,
    /// The patches that are compiled into it.
    pub baseline: Baseline,
    /// What could not be read.
    pub missing: Vec<Missing>,
}

/// The kernel to be patched, as it is sent.
pub struct Target {
    /// What is said of it.
    pub facts: TargetFacts,
    /// The text of its config.
    pub config: Vec<u8>,
    /// Its symbols, compressed.
    pub kallsyms: Option<Vec<u8>>,
    /// The patches that are compiled into it.
    pub baseline: Baseline,
}

/// What the command line says of the kernel to be patched.
pub struct Asked<'a> {
    /// A config; `None`: that of the running kernel.
    pub config: Option<&'a Path>,
    /// The release.
    pub release: Option<&'a KernelRelease>,
    /// Saved facts, instead of both.
    pub facts: Option<&'a Path>,
    /// The patches that are compiled in.
    pub baseline: &'a BaselineArgs,
}

/// Reads what the command line names and works out the rest. Says on standard error which release
/// was taken, what speaks against it, and which patches are taken to be compiled in.
pub fn find(asked: &Asked<'_>) -> Result<Target, Problem> {
    let named = asked.baseline.named()?;
    let target = match asked.facts {
        Some(path) => from_facts(path, named)?,
        None => from_config(&RunningKernel::inspect(), asked, named)?,
    };
    if !target.baseline.patches.is_empty() {
        say_baseline(&target.baseline);
    }
    Ok(target)
}

/// Says which patches are taken to be in the kernel.
pub fn say_baseline(baseline: &Baseline) {
    let count = baseline.patches.len();
    let patches = if count == 1 { "patch" } else { "patches" };
    let (origin, names) = (&baseline.origin, crate::text::printable(&baseline.names()));
    say(&format!(
        "baseline: {count} {patches} {origin}, taken to be in the running kernel: {names}\n  \
         (--no-baseline leaves them out, --baseline PATH names others)"
    ));
}

fn from_facts(path: &Path, named: Option<Baseline>) -> Result<Target, Problem> {
    let collected = facts_file::read(path)?;
    let shown = path.display();
    let Some(config) = collected.config else {
        return Err(Problem::input(format!("the facts {shown} hold no config")).hint(
            "collect them again on the machine to be patched, and name its config: elivepatch facts \
             --config FILE --output FILE",
        ));
    };
    say(&format!("kernel: {} (from the facts {shown})", collected.facts.release));
    Ok(Target {
        facts: collected.facts,
        config: config.text,
        kallsyms: collected.symbols.map(|symbols| symbols.packed),
        baseline: named.unwrap_or(collected.baseline),
    })
}

fn from_config(
    kernel: &RunningKernel,
    asked: &Asked<'_>,
    named: Option<Baseline>,
) -> Result<Target, Problem> {
    let (config, is_running) = match asked.config {
        None => (config_file::read_running(kernel)?, Some(true)),
        Some(path) => {
            let config = config_file::read(path)?;
            let running = config_file::read_running(kernel).ok();
            let is_running = running.map(|running| running.config == config.config);
            (config, is_running)
        }
    };
    let config_is_running = is_running == Some(true);
    let detected = release::detect(&Evidence {
        requested: asked.release,
        running: kernel.release.as_ref(),
        config_is_running,
        file_name: config.path.file_name().and_then(|name| name.to_str()),
        config: &config.config,
    })
    .ok_or_else(|| {
        let path = config.path.display();
        Problem::input(format!("cannot tell which kernel release {path} belongs to"))
            .hint("say it as uname -r prints it on the machine to be patched: --kernel RELEASE")
    })?;
    for doubt in &detected.doubts {
        warn(&format!("{doubt}; if that is wrong, give the release with --kernel RELEASE"));
    }
    let release = detected.release;
    let origin = detected.origin.describe();
    say(&format!("kernel: {release} (from {origin}; config {})", config.path.display()));
    let architecture = config.config.architecture().map_err(|error| {
        Problem::input(format!("{} cannot be used", config.path.display())).caused_by(&error)
    })?;
    let is_this_release = kernel.release.as_ref() == Some(&release);
    if is_this_release && is_running.is_none() {
        say("the running kernel's own config cannot be read: this one is taken to be its");
    }
    if is_this_release && is_running != Some(false) {
        let collected = collect(kernel, release, architecture, Some(config), named)?;
        return Ok(Target {
            facts: collected.facts,
            config: collected.config.expect("it was handed over").text,
            kallsyms: collected.symbols.map(|symbols| symbols.packed),
            baseline: collected.baseline,
        });
    }
    if is_this_release || is_running.is_none() {
        let why = match is_running {
            None => "its kernel is another one, and its config cannot be read",
            Some(_) => "the running kernel has another config",
        };
        warn(&format!(
            "facts of this machine are not sent: {why}; for the whole of what the server can use, \
             run elivepatch facts --output FILE on the machine to be patched, and give --facts FILE"
        ));
    }
    if named.is_none()
        && let Some(origin) = unsent_portage_patches(kernel.root(), &release)
    {
        warn(&format!(
            "Portage's patches {origin} are not sent, since this is not the kernel that runs; when they are in it name \
             their directory with --baseline PATH, otherwise say --no-baseline"
        ));
    }
    Ok(Target {
        facts: TargetFacts::new(release, architecture),
        config: config.text,
        kallsyms: None,
        baseline: named.unwrap_or_default(),
    })
}

/// What the patches are of that Portage compiles into such a kernel, where there are some. Nobody knows whether the kernel
/// is of this machine.
fn unsent_portage_patches(root: &Path, release: &KernelRelease) -> Option<String> {
    if !machine::is_gentoo(root) {
        return None;
    }
    match gentoo::find(root, release) {
        Ok(baseline) => (!baseline.patches.is_empty()).then_some(baseline.origin),
        // They cannot be read; then they are not sent either.
        Err(_) => Some(format!("of the kernel {release}")),
    }
}

/// Collects all facts of a kernel that runs; `config` names its config where the distribution did not
/// leave it.
pub fn collect_facts(
    kernel: &RunningKernel,
    config: Option<&Path>,
    baseline: &BaselineArgs,
) -> Result<Collected, Problem> {
    let release = usable_release(kernel)?;
    let (config, why) = match config {
        Some(path) => (Some(config_file::read(path)?), None),
        None if kernel.config_places().iter().any(|place| place.exists()) => {
            match config_file::read_running(kernel) {
                Ok(config) => (Some(config), None),
                Err(problem) => (None, Some(problem.message().to_owned())),
            }
        }
        None => (None, Some("not in a usual place; name it with --config".to_owned())),
    };
    let architecture = match &config {
        Some(config) => config.config.architecture().map_err(|error| {
            Problem::input(format!("{} cannot be used", config.path.display())).caused_by(&error)
        })?,
        None => Architecture::X86_64,
    };
    let mut collected = collect(kernel, release, architecture, config, baseline.named()?)?;
    if let Some(why) = why {
        collected.missing.insert(0, Missing { what: "config".to_owned(), why });
    }
    Ok(collected)
}

fn collect(
    kernel: &RunningKernel,
    release: KernelRelease,
    architecture: Architecture,
    config: Option<ConfigFile>,
    named: Option<Baseline>,
) -> Result<Collected, Problem> {
    let mut missing = Vec::new();
    let mut add = |what: &str, why: &str| {
        missing.push(Missing { what: what.to_owned(), why: why.to_owned() });
    };
    let build_id = kernel.build_id();
    if build_id.is_none() {
        add("build-id", "/sys/kernel/notes does not tell it");
    }
    let (compiler, linker) = built_by(kernel);
    if compiler.is_none() {
        add("compiler", "/proc/version does not tell it");
    }
    let symbols = kallsyms::read_running(kernel.root());
    match &symbols {
        Err(why) => add("symbols", why),
        Ok(symbols) if !symbols.list.has_offsets() => {
            add("sizes of symbols", "the kernel hides its addresses; needs root");
        }
        Ok(_) => {}
    }
    let known = config.as_ref().map(|config| &config.config);
    let machine = machine::read(kernel.root(), known, &mut missing);
    let baseline = match named {
        Some(named) => named,
        None if machine::is_gentoo(kernel.root()) => gentoo::find(kernel.root(), &release)?,
        None => Baseline::default(),
    };
    let facts = TargetFacts {
        release,
        architecture,
        build_id,
        kernel_version: Some(kernel.version.clone()),
        compiler,
        linker,
        machine: Some(machine),
    };
    Ok(Collected { facts, config, symbols: symbols.ok(), baseline, missing })
}

/// What is told of the kernel that runs and its machine by who orders nothing: without its config and symbols, which
/// are large.
pub fn told(kernel: &RunningKernel) -> Result<TargetFacts, Problem> {
    let release = usable_release(kernel)?;
    let (compiler, linker) = built_by(kernel);
    Ok(TargetFacts {
        release,
        architecture: Architecture::X86_64,
        build_id: kernel.build_id(),
        kernel_version: Some(kernel.version.clone()),
        compiler,
        linker,
        machine: Some(machine::read(kernel.root(), None, &mut Vec::new())),
    })
}

fn usable_release(kernel: &RunningKernel) -> Result<KernelRelease, Problem> {
    kernel.release.clone().ok_or_else(|| {
        Problem::input("the running kernel has a release that cannot be used")
            .hint("look at it with uname -r: it begins with a version such as 6.12.117")
    })
}

/// The compiler and the linker that built it.
fn built_by(kernel: &RunningKernel) -> (Option<String>, Option<String>) {
    match kernel.built_by() {
        Some(built_by) => (Some(built_by.compiler), built_by.linker),
        None => (None, None),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
