use std::collections::BTreeSet;

use elivepatch_model::Sha256Digest;
use jiff::Timestamp;

use crate::{
    Health, Held, HostProblem, Kernel, KernelState, Livepatch, Machine, Marker, State,
    StateDirectory, kernel::boot_id, livepatches::livepatches,
};

/// How a machine stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// The kernel.
    pub kernel: Kernel,
    /// What is loaded, of whomever.
    pub loaded: Vec<Livepatch>,
    /// The livepatch that is meant to be active, with what is kept of it.
    pub current: Option<(Sha256Digest, Option<Held>)>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// How the machine is with what was loaded last, while the guard time goes on.
    pub health: Option<Health>,
    /// What was loaded before, or was locked out.
    pub known: BTreeSet<Sha256Digest>,
    /// What is locked out.
    pub locked_out: BTreeSet<Sha256Digest>,
    /// What somebody on this machine has taken back, or replaced.
    pub taken_back: BTreeSet<Sha256Digest>,
    /// Whether the machine has lived for the guard time with the livepatch that is meant to be active.
    pub is_proven: bool,
    /// What is to be known and is no trouble; one line each.
    pub notes: Vec<String>,
    /// What is wrong.
    pub trouble: Vec<Trouble>,
}

/// Something that is wrong, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// What should be active is not.
    #[error("the livepatch {name} is not active")]
    NotActive {
        /// Its name.
        name: String,
    },
    /// A transition is under way, or stuck.
    #[error("the livepatch {name} is in transition")]
    InTransition {
        /// Its name.
        name: String,
    },
    /// What should be active is not kept any more, or damaged.
    #[error("the livepatch {digest} that belongs to this kernel cannot be read: {why}")]
    Lost {
        /// Its digest.
        digest: Sha256Digest,
        /// Why.
        why: String,
    },
    /// The machine is not well with it.
    #[error("the machine is not well: {0}")]
    NotWell(String),
    /// Livepatches that are not loaded because of what happened under them.
    #[error("{name} is locked out: {reason}")]
    LockedOut {
        /// Its name, or its digest where it is not kept.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Trouble {
    /// What can be done; one line.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotActive { .. } => "elivepatch apply loads it",
            Self::InTransition { .. } => {
                "wait; elivepatch revert takes it back when it does not end"
            }
            Self::Lost { .. } => "order it again, or elivepatch revert",
            Self::NotWell(_) => "look at the kernel's log (dmesg); elivepatch revert takes it back",
            Self::LockedOut { .. } => {
                "elivepatch unlock lets it be loaded again, when that is wanted"
            }
        }
    }
}

impl Status {
    /// Whether the livepatch that is meant to be active is.
    pub fn is_active(&self) -> bool {
        let Some((_, Some(held))) = &self.current else { return false };
        held.module.build_id.is_some()
            && self
                .loaded
                .iter()
                .any(|loaded| loaded.is_active() && loaded.build_id == held.module.build_id)
    }

    /// Looks at the machine. Nothing is changed, and nothing waited for.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn look(machine: &Machine, directory: &StateDirectory) -> Result<Self, HostProblem> {
        let kernel = Kernel::running(machine)?;
        let state = directory.read()?;
        let loaded = livepatches(machine)?;
        let known = state.of(&kernel);
        let mut trouble = Vec::new();
        let current = known.current.map(|digest| (digest, held(directory, digest, &mut trouble)));
        if let Some((_, Some(held))) = &current {
            active(held, &loaded, &mut trouble);
        }
        let health = health(machine, &state, directory, (&loaded, current.as_ref()))?;
        if let Some(health) = health.as_ref().filter(|health| !health.is_well()) {
            trouble.push(Trouble::NotWell(health.words()));
        }
        // Where another one is active it is history.
        let locked = locked_out(directory, &known);
        let notes = match known.current {
            Some(_) => locked.iter().map(ToString::to_string).collect(),
            None => {
                trouble.extend(locked);
                Vec::new()
            }
        };
        let mut notes: Vec<String> = notes;
        if let Some((_, Some(held))) = &current {
            notes.extend(next_boot(directory, held));
        }
        let since = known.since;
        let is_proven = known.current.is_some_and(|current| known.proven.contains(&current));
        let locked_out = known.locked_out.keys().copied().collect();
        let taken_back = known.taken_back.clone();
        let known = known.earlier.iter().chain(known.locked_out.keys()).copied().collect();
        Ok(Self {
            kernel,
            loaded,
            current,
            since,
            health,
            known,
            locked_out,
            taken_back,
            is_proven,
            notes,
            trouble,
        })
    }
}

/// Why the livepatch will not be loaded at the next boot; it may have been loaded before there was a key.
fn next_boot(directory: &StateDirectory, held: &Held) -> Option<String> {
    let obstacle = directory.trust().verify_held(held).err()?;
    Some(format!("{} will not be loaded at the next boot: {obstacle}", held.module.name))
}

fn held(
    directory: &StateDirectory,
    digest: Sha256Digest,
    trouble: &mut Vec<Trouble>,
) -> Option<Held> {
    let why = match directory.held(digest) {
        Ok(Some(held)) => return Some(held),
        Ok(None) => "it is not there".to_owned(),
        Err(problem) => problem.to_string(),
    };
    trouble.push(Trouble::Lost { digest, why });
    None
}

fn active(held: &Held, loaded: &[Livepatch], trouble: &mut Vec<Trouble>) {
    let is_it = |livepatch: &&Livepatch| {
        livepatch.build_id.is_some() && livepatch.build_id == held.module.build_id
    };
    let name = held.module.name.clone();
    match loaded.iter().find(is_it) {
        Some(livepatch) if livepatch.in_transition => trouble.push(Trouble::InTransition { name }),
        Some(livepatch) if livepatch.enabled => {}
        _ => trouble.push(Trouble::NotActive { name }),
    }
}

fn health(
    machine: &Machine,
    state: &State,
    directory: &StateDirectory,
    (loaded, current): (&[Livepatch], Option<&(Sha256Digest, Option<Held>)>),
) -> Result<Option<Health>, HostProblem> {
    let Some(Marker { livepatch, boot_id: boot, vitals, .. }) = &state.marker else {
        return Ok(None);
    };
    if *boot != boot_id(machine)? {
        return Ok(None);
    }
    // The one that is looked after is nearly always the current one, whose module was read just now.
    let read =
        current.filter(|(digest, _)| digest == livepatch).and_then(|(_, held)| held.as_ref());
    let name = match read {
        Some(held) => held.module.name.clone(),
        None => match directory.held(*livepatch) {
            Ok(Some(held)) => held.module.name,
            _ => return Ok(None),
        },
    };
    let there = loaded.iter().find(|livepatch| livepatch.name == name);
    Health::look(machine, there, *vitals).map(Some)
}

fn locked_out(directory: &StateDirectory, known: &KernelState) -> Vec<Trouble> {
    let told = known.locked_out.iter().map(|(digest, lockout)| {
        let held = directory.held(*digest).ok().flatten();
        let name = held.map_or_else(|| digest.to_string(), |held| held.module.name);
        Trouble::LockedOut { name, reason: lockout.reason.clone() }
    });
    told.collect()
}
