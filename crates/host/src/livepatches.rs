//! What `/sys` tells of the livepatches that are loaded.

use std::{collections::BTreeSet, fmt, io};

use elivepatch_model::{
    ElfBuildId,
    limits::{LOADED_LIVEPATCHES, MODULE_NAME_BYTES},
};

use crate::{HostProblem, Machine, machine::is_gone, notes};

pub(crate) const DIRECTORY: &str = "sys/kernel/livepatch";

/// A livepatch that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Livepatch {
    /// The name of its module.
    pub name: String,
    /// The build-id of its module, which identifies it; absent when it has none.
    pub build_id: Option<ElfBuildId>,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether its transition, to or fro, is under way.
    pub in_transition: bool,
    /// What it replaces.
    pub functions: BTreeSet<PatchedFunction>,
}

/// A function that a livepatch replaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PatchedFunction {
    /// Where it is: `vmlinux` or a module.
    pub object: String,
    /// Its name.
    pub name: String,
    /// Which one of several with that name, as kallsyms has them, from 1 on. Of the only one modules say 0 and
    /// the kernel 1: here it is 1.
    pub position: u64,
}

impl Livepatch {
    /// Whether all tasks run its functions.
    pub fn is_active(&self) -> bool {
        self.enabled && !self.in_transition
    }
}

/// The livepatches that are loaded, sorted by name.
///
/// # Errors
/// When they cannot be read, or are more than can be.
pub fn livepatches(machine: &Machine) -> Result<Vec<Livepatch>, HostProblem> {
    let problem = |error| HostProblem::read(DIRECTORY, error);
    let names = machine.names(DIRECTORY).map_err(problem)?;
    if names.len() > LOADED_LIVEPATCHES {
        return Err(problem(io::Error::other(format!("{} livepatches are too many", names.len()))));
    }
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        if !is_module_name(&name) {
            return Err(problem(io::Error::other(format!("{name:?} is no module's name"))));
        }
        match livepatch(machine, &name) {
            Ok(livepatch) => found.push(livepatch),
            // It went while it was looked at.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(problem(error)),
        }
    }
    Ok(found)
}

/// One of them by its module's name; `None` when there is none.
pub(crate) fn named(machine: &Machine, name: &str) -> Result<Option<Livepatch>, HostProblem> {
    match livepatch(machine, name) {
        Ok(livepatch) => Ok(Some(livepatch)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(HostProblem::read(DIRECTORY, error)),
    }
}

fn livepatch(machine: &Machine, name: &str) -> io::Result<Livepatch> {
    let place = format!("{DIRECTORY}/{name}");
    let flag =
        |file: &str| Ok::<_, io::Error>(machine.text(&format!("{place}/{file}"))?.trim() == "1");
    let (enabled, in_transition) = (flag("enabled")?, flag("transition")?);
    let mut functions = BTreeSet::new();
    // Beside the attributes there is a directory for each object, and in it one for each function.
    for object in machine.names(&place)? {
        for function in machine.names(&format!("{place}/{object}")).unwrap_or_default() {
            let Some((name, position)) = function.rsplit_once(',') else { continue };
            let Ok(position) = position.parse() else { continue };
            functions.insert(PatchedFunction {
                object: object.clone(),
                name: name.to_owned(),
                position,
            });
        }
    }
    let build_id = note_of(machine, name)?;
    Ok(Livepatch { name: name.to_owned(), build_id, enabled, in_transition, functions })
}

/// The build-id of a module that is in the kernel; `None` when it has none, or is not there.
pub(crate) fn build_id_of(
    machine: &Machine,
    name: &str,
) -> Result<Option<ElfBuildId>, HostProblem> {
    note_of(machine, name).map_err(|error| HostProblem::read("sys/module", error))
}

fn note_of(machine: &Machine, name: &str) -> io::Result<Option<ElfBuildId>> {
    match machine.bytes(&format!("sys/module/{name}/notes/.note.gnu.build-id")) {
        Ok(note) => Ok(notes::build_id(&note)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a text can be the name of a module, as the kernel shows it.
pub fn is_module_name(name: &str) -> bool {
    (1..=MODULE_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

impl fmt::Display for PatchedFunction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name, self.object)
    }
}
