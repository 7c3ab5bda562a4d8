use elivepatch_model::{Failure, FailureClass};

use super::KlpEngine;
use crate::{
    apply::AppliedFixes,
    engine::compile::{Job, RECORD_BYTES, SavedCommand, check, compile_by_script, record_path},
    unit::Unit,
};

/// Compiles the units by the commands that compiled their originals.
pub(super) fn compile(
    engine: &KlpEngine,
    units: &[Unit],
    fixes: &AppliedFixes,
) -> Result<(), Failure> {
    let objects: Vec<String> = units.iter().map(Unit::object).collect();
    let commands: Vec<SavedCommand> = units
        .iter()
        .zip(&objects)
        .map(|(unit, object)| saved_command(engine, unit, object).ok_or_else(|| unknown(unit)))
        .collect::<Result<_, _>>()?;
    let jobs: Vec<Job> = objects
        .iter()
        .zip(&commands)
        .map(|(object, command)| Job { object, shell: &command.shell })
        .collect();
    let input = &engine.input;
    let cores = input.make.jobs();
    let finished = compile_by_script(&jobs, cores, &engine.view, input.sandbox, input.observer)?;
    check(&finished, fixes)
}

fn saved_command(engine: &KlpEngine, unit: &Unit, object: &str) -> Option<SavedCommand> {
    let record = engine.originals.view().read_made(&record_path(object), RECORD_BYTES).ok()?;
    SavedCommand::parse(&String::from_utf8_lossy(&record), object, &unit.source)
}

fn unknown(unit: &Unit) -> Failure {
    Failure::new(
        FailureClass::NotPatchable,
        format!("{} was not compiled by itself into the kernel that is patched", unit.source),
        "the klp-build engine compares objects of the kernel as it is: use --engine kpatch, or put \
         the new code into a file that is there",
    )
}
