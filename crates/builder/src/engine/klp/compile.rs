use std::collections::BTreeMap;

use elivepatch_model::{Failure, FailureClass};

use super::KlpEngine;
use crate::{
    apply::AppliedFixes,
    engine::{
        KPATCH_HEADERS,
        compile::{BATCH, Job, SavedCommand, check, compile_by_script, original_of, with_flags},
    },
    kbuild_record::{RECORD_BYTES, record_path},
    unit::Unit,
};

/// Refuses what is not in the kernel that is patched.
///
/// # Errors
/// `not-patchable`, naming the file.
pub(super) fn refuse_new_files(engine: &KlpEngine, units: &[Unit]) -> Result<(), Failure> {
    match units.iter().find(|unit| engine.input.is_new(unit)) {
        None => Ok(()),
        Some(unit) => Err(unknown(unit)),
    }
}

/// How to compile each unit that reads a touched file, by its object: as the original was compiled,
/// and kpatch's headers can be included, which the adaptation `syscall-define` does. What assembly
/// files become is left as it was: when the patch changes that, it is refused.
///
/// # Errors
/// `not-patchable` for a unit that was not compiled for itself.
pub(super) fn commands(
    engine: &KlpEngine,
    units: &[Unit],
) -> Result<BTreeMap<String, String>, Failure> {
    let touched = engine.input.touched;
    let mut commands = BTreeMap::new();
    for unit in units.iter().filter(|unit| !unit.source.ends_with(".S")) {
        let object = unit.object();
        let original = original_of(&engine.input, &object);
        if original.is_some_and(|original| !original.is_affected(touched)) {
            continue;
        }
        let command = saved_command(engine, unit, &object).ok_or_else(|| unknown(unit))?;
        let headers = format!("-I{KPATCH_HEADERS}");
        let shell = with_flags(&command.shell, &headers).unwrap_or(command.shell);
        let shell = engine.input.patched_command(&object, &shell);
        commands.insert(object, shell);
    }
    Ok(commands)
}

/// Compiles the patched sources.
pub(super) fn compile(
    engine: &KlpEngine,
    commands: &BTreeMap<String, String>,
    fixes: &AppliedFixes,
) -> Result<(), Failure> {
    let jobs: Vec<Job> = commands.iter().map(|(object, shell)| Job { object, shell }).collect();
    let input = &engine.input;
    let cores = input.make.jobs();
    for batch in jobs.chunks(BATCH) {
        let finished =
            compile_by_script(batch, cores, &engine.view, input.sandbox, input.observer)?;
        check(&finished, fixes)?;
    }
    Ok(())
}

fn saved_command(engine: &KlpEngine, unit: &Unit, object: &str) -> Option<SavedCommand> {
    let record = engine.originals.view().read_made(&record_path(object), RECORD_BYTES).ok()?;
    SavedCommand::parse(&String::from_utf8_lossy(&record), unit.goal(), &unit.source)
}

fn unknown(unit: &Unit) -> Failure {
    Failure::new(
        FailureClass::NotPatchable,
        format!("{} was not compiled by itself into the kernel that is patched", unit.source),
        "the klp-build engine compares objects of the kernel as it is: use --engine kpatch, or put \
         the new code into a file that is there",
    )
}
