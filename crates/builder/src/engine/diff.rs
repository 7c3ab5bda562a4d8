use elivepatch_model::{Failure, FailureClass, StepName};

use super::{KpatchEngine, compile::original_objects, messages::tool_failure};
use crate::{base::WORK, process::Finished, unit::Unit};

/// create-diff-object's exit code for "no functional change" (kpatch's `kpatch-build/kpatch.h`), beside
/// 0 for "changed".
const NO_CHANGE: i32 = 3;

/// An object with changed functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChangedObject {
    /// The compiled file that it was made from.
    pub unit: Unit,
    /// create-diff-object's output, as the sandbox sees it in the patched workspace.
    pub inside: String,
}

/// The environment variables that hold the sizes of the kernel's special structures.
const STRUCT_VARIABLES: [(&str, &str); 8] = [
    ("alt_instr", "ALT_STRUCT_SIZE"),
    ("bug_entry", "BUG_STRUCT_SIZE"),
    ("exception_table_entry", "EX_STRUCT_SIZE"),
    ("jump_entry", "JUMP_STRUCT_SIZE"),
    ("orc_entry", "ORC_STRUCT_SIZE"),
    ("paravirt_patch_site", "PARA_STRUCT_SIZE"),
    ("static_call_site", "STATIC_CALL_STRUCT_SIZE"),
    ("pi_entry", "PRINTK_INDEX_STRUCT_SIZE"),
];

pub(super) fn diff(engine: &KpatchEngine, units: &[Unit]) -> Result<Vec<ChangedObject>, Failure> {
    let mut changed = Vec::new();
    for (number, unit) in units.iter().enumerate() {
        let output = format!("{WORK}/changed-{number}.o");
        let finished = diff_object(engine, unit, &output)?;
        match finished.code() {
            Some(0) => changed.push(ChangedObject { unit: unit.clone(), inside: output }),
            Some(NO_CHANGE) => {}
            _ => return Err(tool_failure("create-diff-object", &unit.object(), &finished)),
        }
    }
    if changed.is_empty() {
        return Err(Failure::new(
            FailureClass::NoFunctionalChange,
            "the patch changes no function: the compiled code is the same with and without it",
            "look whether the changed lines are compiled with this config",
        ));
    }
    Ok(changed)
}

fn diff_object(engine: &KpatchEngine, unit: &Unit, output: &str) -> Result<Finished, Failure> {
    let object = &unit.object();
    let mut command = engine.patched.command([
        "/usr/lib/kpatch/create-diff-object",
        &format!("/original/{object}"),
        object,
        unit.parent.name(),
        "/symtab",
        "Module.symvers",
        engine.module_name,
        output,
    ]);
    command = command
        .read_only(&original_objects(engine), "/original")
        .read_only(&engine.base.symbol_table(), "/symtab");
    for (structure, variable) in STRUCT_VARIABLES {
        if let Some(size) = engine.base.facts().struct_sizes.get(structure) {
            command = command.environment(variable, size.to_string());
        }
    }
    engine.sandbox.run(&command, StepName::Diff, engine.observer)
}
