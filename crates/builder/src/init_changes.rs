//! Leaving changes to `__init` code and data out of the patched objects, when the compiled objects show
//! that nothing else changes by it.

use elivepatch_elf::{difference_outside_init, same_code};
use elivepatch_model::{Failure, FailureClass};

use crate::{
    adapt::{InitChanges, SourceAdapter},
    apply::AppliedFixes,
    base::Workspace,
    engine::{LivepatchEngine, OBJECT_BYTES},
    failures::internal,
    ownership::Units,
    unit::Unit,
};

/// What came of trying to leave them out.
pub(crate) enum Outcome {
    /// They are left out.
    LeftOut,
    /// All is as it was, for this reason.
    Kept(String),
}

/// Leaves the changes out of the source, compiles it again, and holds the objects against those with
/// the changes. Where they differ in more than `__init` code and data, all is put back. The objects
/// are those that either engine compiles in the patched workspace, each for itself and with debug
/// information.
///
/// # Errors
/// Those of the compilation and of the sandbox.
pub(crate) fn try_to_leave_out(
    changes: &InitChanges,
    engine: &LivepatchEngine,
    fixes: &AppliedFixes,
    units_of_files: &Units,
    adapter: &SourceAdapter,
) -> Result<Outcome, Failure> {
    let mut units: Vec<Unit> =
        changes.files().filter_map(|file| units_of_files.get(file)).flatten().cloned().collect();
    units.sort();
    units.dedup();
    let with = objects(&units, adapter.workspace)?;
    changes.leave_out(adapter)?;
    let reason = match engine.compile(&units, fixes) {
        Ok(()) => difference(&units, &with, &objects(&units, adapter.workspace)?)?,
        Err(failure) if failure.class == FailureClass::CompileFailed => {
            Some("the source does not compile without them".to_owned())
        }
        Err(failure) => return Err(failure),
    };
    let Some(reason) = reason else { return Ok(Outcome::LeftOut) };
    put_back(changes, engine, fixes, &units, adapter)?;
    Ok(Outcome::Kept(reason))
}

/// Puts the changes back and compiles the source as it was.
///
/// # Errors
/// Those of the compilation and of the sandbox.
pub(crate) fn put_back(
    changes: &InitChanges,
    engine: &LivepatchEngine,
    fixes: &AppliedFixes,
    units: &[Unit],
    adapter: &SourceAdapter,
) -> Result<(), Failure> {
    changes.put_back(adapter)?;
    engine.compile(units, fixes)
}

fn objects(units: &[Unit], workspace: &Workspace) -> Result<Vec<Vec<u8>>, Failure> {
    let read = |unit: &Unit| {
        let object = unit.object();
        workspace
            .read_made(&object, OBJECT_BYTES)
            .map_err(|error| internal(format!("{object} was compiled and cannot be read: {error}")))
    };
    units.iter().map(read).collect()
}

/// Why the changes must stay; `None` when the objects differ in `__init` code and data only.
fn difference(
    units: &[Unit],
    with: &[Vec<u8>],
    without: &[Vec<u8>],
) -> Result<Option<String>, Failure> {
    let unreadable = |error| internal(format!("a compiled object cannot be compared: {error}"));
    let mut differs = false;
    for (unit, (with, without)) in units.iter().zip(with.iter().zip(without)) {
        if let Some(section) = difference_outside_init(with, without).map_err(unreadable)? {
            let object = unit.object();
            return Ok(Some(format!("without them, the section {section} of {object} is another")));
        }
        differs |= !same_code(with, without).map_err(unreadable)?;
    }
    Ok((!differs).then(|| "they change nothing in the compiled code".to_owned()))
}
