//! `elivepatch show` of a livepatch: in a file, kept on this machine, or only loaded.

use std::path::Path;

use elivepatch_host::{
    Held, HostProblem, Kernel, Livepatch, Machine, ManifestTrust, ModuleFile, State,
    StateDirectory, livepatches,
};
use elivepatch_model::Sha256Digest;

use super::{
    StateArgs,
    apply::{is_file, read},
    host_problem,
};
use crate::{
    exit::Exit,
    livepatch_report::{Shown, print},
    problem::{Problem, warn},
    report,
};

/// Shows what is known of a livepatch.
pub fn run(given: &str, state: &StateArgs, json: bool) -> Result<Exit, Problem> {
    let machine = Machine::this();
    let directory = state.directory();
    let shown = match is_file(given) {
        true => of_file(Path::new(given), &machine, &directory)?,
        false => {
            of_machine(given, &machine, &directory).map_err(|problem| host_problem(&problem))?
        }
    };
    match json {
        true => report::print_json(&shown)?,
        false => print(&shown)?,
    }
    Ok(Exit::Done)
}

fn of_file(path: &Path, machine: &Machine, directory: &StateDirectory) -> Result<Shown, Problem> {
    // Whatever it is, it is shown; whether it may be loaded is looked at then.
    let applying = read(path, &ManifestTrust::Anybody)?;
    let digest = applying.module.digest;
    let named = applying.manifest.as_ref().map(|manifest| manifest.module.digest);
    if let Some(named) = named.filter(|named| *named != digest) {
        warn(&format!(
            "the manifest beside {} is of another module (sha256 {named}): it is not shown",
            path.display()
        ));
    }
    let manifest = applying.manifest.filter(|manifest| manifest.module.digest == digest);
    // Of a module for another machine there is nothing to be said here.
    let loaded = livepatches(machine).unwrap_or_default();
    let known = directory.read().unwrap_or_default();
    let state = state_of(&applying.module, &loaded, &known, machine);
    let shown = Shown::module(applying.module, manifest, state);
    let (text, signature) = (applying.manifest_text, applying.manifest_signature);
    let text = text.unwrap_or_default();
    Ok(shown.with_signature(signature.as_deref(), &directory.trust(), &text))
}

fn of_machine(
    given: &str,
    machine: &Machine,
    directory: &StateDirectory,
) -> Result<Shown, HostProblem> {
    let loaded = livepatches(machine).unwrap_or_default();
    let kept = || {
        let known = directory.read()?;
        let digest = directory.find(&known, given)?;
        let held = directory.held(digest)?;
        let held =
            held.ok_or_else(|| HostProblem::NotKept { digest, locked_out: why(&known, digest) })?;
        Ok::<_, HostProblem>((held, known))
    };
    match kept() {
        Ok((held, known)) => {
            let Held { module, manifest, manifest_text, manifest_signature } = held;
            let state = state_of(&module, &loaded, &known, machine);
            let text = manifest_text.unwrap_or_default();
            let shown = Shown::module(module, manifest, state);
            Ok(shown.with_signature(manifest_signature.as_deref(), &directory.trust(), &text))
        }
        // Others than root do not see what is kept, and somebody else's livepatch is not.
        Err(problem) => match loaded.into_iter().find(|livepatch| livepatch.name == given) {
            Some(livepatch) => Ok(Shown::loaded(livepatch, problem.to_string())),
            None => Err(problem),
        },
    }
}

/// What a livepatch is on this machine, in words; `None` when it is nothing here.
fn state_of(
    module: &ModuleFile,
    loaded: &[Livepatch],
    known: &State,
    machine: &Machine,
) -> Option<String> {
    let is_it = |there: &&Livepatch| there.build_id.is_some() && there.build_id == module.build_id;
    let kernel = Kernel::running(machine).ok().map(|kernel| known.of(&kernel));
    let is_current = kernel.as_ref().is_some_and(|kernel| kernel.current == Some(module.digest));
    let since = kernel.as_ref().and_then(|kernel| kernel.since).filter(|_| is_current);
    let since = since.map(|since| format!(", since {}", since.strftime("%Y-%m-%d %H:%M UTC")));
    if let Some(there) = loaded.iter().find(is_it) {
        let state = if there.is_active() { "active" } else { "in transition" };
        return Some(format!("{state}{}", since.unwrap_or_default()));
    }
    if let Some(reason) = why(known, module.digest) {
        return Some(format!("locked out: {reason}"));
    }
    let kernels = known.kernels.values();
    let mut earlier = kernels.flat_map(|kernel| kernel.current.iter().chain(&kernel.earlier));
    match is_current {
        true => Some("not loaded, though it belongs to the running kernel".to_owned()),
        false => {
            earlier.any(|digest| *digest == module.digest).then(|| "kept, not loaded".to_owned())
        }
    }
}

/// Why a livepatch is locked out, when it is.
fn why(known: &State, digest: Sha256Digest) -> Option<String> {
    let mut kernels = known.kernels.values();
    kernels.find_map(|kernel| kernel.locked_out.get(&digest)).map(|lockout| lockout.reason.clone())
}
