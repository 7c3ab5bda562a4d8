//! What is live on the machine that a livepatch is ordered for: the next one is ordered together with it, since it
//! replaces it.

mod choice;
mod texts;

use elivepatch_host::{HostProblem, Kernel, StateDirectory};
use elivepatch_model::{
    BuildNumber, ElfBuildId, Fix, LoadedLivepatch, Manifest, Sha256Digest, TargetFacts, with_causes,
};

pub use self::{
    choice::{Choice, choose},
    texts::{kept_or_fetched, of_build},
};
use crate::{
    problem::{Problem, warn},
    server::Server,
    text::printable,
};

/// A livepatch that is live, and of which it is known what is in it.
#[derive(Debug)]
pub struct Live {
    /// Its module's name.
    pub name: String,
    /// What is in it.
    pub manifest: Manifest,
    /// The build that made it, when the server has it.
    pub build: Option<BuildNumber>,
}

impl Live {
    /// Its fixes, in their order.
    pub fn fixes(&self) -> &[Fix] {
        &self.manifest.fixes
    }

    /// The module that the server is to replace in the trial; `None` when it does not have it.
    pub fn replaced(&self) -> Option<Sha256Digest> {
        self.build.map(|_| self.manifest.module.digest)
    }
}

/// Why what is live cannot be told.
#[derive(Debug)]
pub enum NotFound {
    /// It is not known, and will not be the next time: what is loaded is somebody else's, or nobody may look.
    Unknown(Problem),
    /// It may be another time: the server does not answer, or a livepatch is in transition.
    NotNow(Problem),
}

impl NotFound {
    /// What is wrong, for people.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Unknown(problem) | Self::NotNow(problem) => problem,
        }
    }
}

/// Finds what is live on the machine that these facts are of.
///
/// # Errors
/// When something is loaded that neither this machine nor the server knows, or that is in transition: what is ordered
/// without it would take it out.
pub async fn find(
    server: &Server,
    facts: &TargetFacts,
    directory: &StateDirectory,
) -> Result<Option<Live>, NotFound> {
    let loaded = loaded(facts);
    if let Some(moving) = loaded.iter().find(|livepatch| !livepatch.active) {
        let name = printable(&moving.name);
        return Err(NotFound::NotNow(
            Problem::input(format!("the livepatch {name} is in transition"))
                .hint("try again when it has ended: elivepatch status"),
        ));
    }
    // Not to know is not to have none.
    if let Some(machine) = &facts.machine
        && machine.livepatches.is_none()
    {
        if machine.livepatch_possible == Some(true) {
            return Err(NotFound::Unknown(
                Problem::input("it is not known which livepatches are loaded on the machine").hint(
                    "collect its facts anew, as root: elivepatch facts; or order without what is live: --alone",
                ),
            ));
        }
        warn(
            "it is not known whether livepatches are loaded on the machine: their fixes are not in this order",
        );
    }
    let mut found = None;
    for livepatch in loaded {
        let known = known(server, facts, directory, livepatch).await.map_err(NotFound::NotNow)?;
        let known = known.ok_or_else(|| NotFound::Unknown(foreign(livepatch)))?;
        if found.replace(known).is_some() {
            return Err(NotFound::Unknown(
                Problem::input("two livepatches are active, and the next one replaces both")
                    .hint("take one out with elivepatch revert, or order without them: --alone"),
            ));
        }
    }
    if found.is_none() {
        warn_of_what_should_be(facts, directory);
    }
    Ok(found)
}

/// The names of what is loaded on the machine, and the fixes in it as far as they are known.
pub async fn lost(
    server: &Server,
    facts: &TargetFacts,
    directory: &StateDirectory,
) -> Vec<(String, Vec<Fix>)> {
    let mut lost = Vec::new();
    for livepatch in loaded(facts) {
        let known = known(server, facts, directory, livepatch).await.ok().flatten();
        let fixes = known.map(|known| known.manifest.fixes).unwrap_or_default();
        lost.push((printable(&livepatch.name), fixes));
    }
    lost
}

fn loaded(facts: &TargetFacts) -> &[LoadedLivepatch] {
    let machine = facts.machine.as_ref();
    machine.and_then(|machine| machine.livepatches.as_deref()).unwrap_or_default()
}

/// What is known of a loaded livepatch by the build-id of its module: on this machine, else on the server.
async fn known(
    server: &Server,
    facts: &TargetFacts,
    directory: &StateDirectory,
    livepatch: &LoadedLivepatch,
) -> Result<Option<Live>, Problem> {
    let Some(build_id) = &livepatch.build_id else { return Ok(None) };
    let made = server.client.livepatch(build_id).await.map_err(|error| server.problem(&error))?;
    // A server may say what it likes; that it is a livepatch for this kernel must be so all the same.
    let made = made.filter(|made| made.manifest.release == facts.release);
    let name = livepatch.name.clone();
    // Others than root do not see what is kept.
    let manifest = match directory.held_with(build_id) {
        Ok(held) => held.and_then(|held| held.manifest),
        Err(_) => None,
    };
    Ok(match (manifest, made) {
        (Some(manifest), made) => {
            let is_it = |made: &&_| is_same(made, &manifest);
            let build = made.as_ref().filter(is_it).map(|made| made.build);
            Some(Live { name, manifest, build })
        }
        (None, Some(made)) if made.manifest.module.build_id.as_ref() == Some(build_id) => {
            Some(Live { name, manifest: made.manifest, build: Some(made.build) })
        }
        (None, _) => None,
    })
}

fn is_same(made: &elivepatch_api::LivepatchResource, kept: &Manifest) -> bool {
    made.manifest.module.digest == kept.module.digest
}

fn foreign(livepatch: &LoadedLivepatch) -> Problem {
    let name = printable(&livepatch.name);
    let id: Option<&ElfBuildId> = livepatch.build_id.as_ref();
    let which = id.map_or_else(String::new, |id| format!(" (build-id {id})"));
    Problem::input(format!(
        "the livepatch {name}{which} is loaded, and neither this machine nor the server knows what is in it"
    ))
    .aside("a livepatch replaces all others: what it fixes would be lost")
    .hint(
        "give the server that has made it with --url, take it out, or order without it: --alone",
    )
}

/// What belongs to the kernel and is not loaded is not live, and so is not in the order.
fn warn_of_what_should_be(facts: &TargetFacts, directory: &StateDirectory) {
    let Some(build_id) = facts.build_id.clone() else { return };
    if facts.machine.as_ref().is_none_or(|machine| machine.livepatches.is_none()) {
        return;
    }
    let kernel = Kernel { release: facts.release.clone(), build_id };
    match directory.read() {
        Ok(state) if state.of(&kernel).current.is_some() => warn(
            "the livepatch that belongs to this kernel is not loaded, and its fixes are not in this order: load it \
             first with elivepatch apply, or forget it with elivepatch revert",
        ),
        Err(problem @ HostProblem::NewerState { .. }) => warn(&with_causes(&problem)),
        _ => {}
    }
}
