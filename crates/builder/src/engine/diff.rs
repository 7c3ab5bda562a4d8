use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
};

use camino::Utf8PathBuf;
use elivepatch_model::{Engine, Failure, FailureClass, StepName};

use super::{
    KpatchEngine,
    compile::original_objects,
    diff_script::{COMPARE, NOT_READY},
    lost_sections,
    messages::tool_failure,
    new_object, runtime_constants,
};
use crate::{
    base::WORK,
    failures::{internal, io_failure},
    process::{Ended, Finished},
    unit::{Parent, Unit},
};

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

/// The most that create-diff-object may say of one object, in bytes.
const LOG_BYTES: u64 = 4 * 1024 * 1024;

/// How many words the comparison of one object takes.
const WORDS: usize = 9;

/// Compares the objects of all units, as many at once as there are cores.
pub(super) fn diff(engine: &KpatchEngine, units: &[Unit]) -> Result<Vec<ChangedObject>, Failure> {
    let results = compare(engine, units)?;
    let (mut changed, mut refused) = (Vec::new(), None::<Failure>);
    // In the order of the units, whichever was done first.
    for (number, unit) in units.iter().enumerate() {
        let result = &results[number];
        match result.code() {
            Some(0) => changed.push((number, unit)),
            Some(NO_CHANGE) => {}
            code => {
                let object = match &unit.parent {
                    Parent::Vmlinux => unit.object(),
                    Parent::Module(module) => format!("{} of the module {module}", unit.object()),
                };
                let tool = if code == Some(NOT_READY) { "objcopy" } else { "create-diff-object" };
                let failure = tool_failure(tool, &object, result);
                match &mut refused {
                    // All functions are named that the same stands against.
                    Some(first) if first.class == failure.class => {
                        first.functions.extend(failure.functions);
                    }
                    Some(_) => {}
                    None => refused = Some(failure),
                }
            }
        }
    }
    if let Some(failure) = refused {
        return Err(failure);
    }
    for unit in units {
        lost_sections::check(engine, unit, Engine::Kpatch)?;
    }
    // Last: it is the only one that the patched code can be compiled otherwise for.
    for (number, unit) in &changed {
        runtime_constants::check_output(engine, unit, &object_name(*number))?;
    }
    if changed.is_empty() {
        return Err(Failure::new(
            FailureClass::NoFunctionalChange,
            "the patch changes no function: the compiled code is the same with and without it",
            "look whether the changed lines are compiled with this config",
        ));
    }
    let object = |(number, unit): (usize, &Unit)| ChangedObject {
        unit: unit.clone(),
        inside: format!("{WORK}/{}", object_name(number)),
    };
    Ok(changed.into_iter().map(object).collect())
}

/// Of `units` as they were compared last, those in which create-diff-object did not find all functions
/// the same.
pub(super) fn found_changed(engine: &KpatchEngine, units: &[Unit]) -> Vec<Unit> {
    let is_changed = |number: usize| {
        let name = format!("{}.code", object_name(number));
        let code = engine.patched.take_output(&name, LOG_BYTES, FailureClass::EngineFailed);
        // Without a code another engine compared them.
        code.map_or(true, |code| code.trim_ascii() != NO_CHANGE.to_string().as_bytes())
    };
    let units = units.iter().enumerate().filter(|(number, _)| is_changed(*number));
    units.map(|(_, unit)| unit.clone()).collect()
}

fn object_name(number: usize) -> String {
    format!("changed-{number}.o")
}

/// What a patched object is compared with, as the sandbox sees it.
pub(super) struct Sides {
    /// The object as it was.
    pub original: String,
    /// The text of `readelf -s` on its parent.
    pub symbols: String,
}

/// The text of `readelf -s` on a parent, on the machine.
pub(super) fn symbol_table(engine: &KpatchEngine, parent: &Parent) -> Result<Utf8PathBuf, Failure> {
    match parent {
        Parent::Vmlinux => Ok(engine.base.symbol_table()),
        Parent::Module(module) => engine.base.module_symbols(module),
    }
}

/// Where the sandbox shows the symbols of a parent.
fn symbols_of(parent: &Parent) -> String {
    format!("/symbols/{}", parent.name())
}

/// The symbols of a module without its local prefix symbols.
///
/// With IBT objtool runs on the linked module and adds them at the end of the local symbols, so that
/// they seem to be those of the module's last file. That file's object has others, and
/// create-diff-object would not find it in the module. It needs none of them: in vmlinux they are
/// behind its last file, too.
fn without_prefix_symbols(symbols: &str) -> String {
    let is_prefix = |line: &str| line.contains(" LOCAL ") && line.contains(" __pfx_");
    symbols.split_inclusive('\n').filter(|line| !is_prefix(line)).collect()
}

/// Compares all objects, as many at once as there are cores. What an earlier comparison of this build
/// left must not be taken for the result of this one.
const COMPARE_ALL: &str = r#"rm -rf /scratch/changed-* && exec xargs --no-run-if-empty "$@""#;

/// Compares all objects in one sandbox. Gives what create-diff-object said of each.
fn compare(engine: &KpatchEngine, units: &[Unit]) -> Result<Vec<Finished>, Failure> {
    let script = engine.patched.write_input("diff.sh", COMPARE.as_bytes())?;
    let mut tables: BTreeMap<&Parent, String> = BTreeMap::new();
    for unit in units {
        let parent = &unit.parent;
        if let (Parent::Module(module), false) = (parent, tables.contains_key(parent)) {
            let table = symbol_table(engine, parent)?;
            let symbols = fs_err::read_to_string(&table)
                .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &table, &error))?;
            let symbols = without_prefix_symbols(&symbols);
            let name = format!("symbols.{module}");
            tables.insert(parent, engine.patched.write_input(&name, symbols.as_bytes())?);
        }
    }
    let mut arguments = Vec::new();
    for (number, unit) in units.iter().enumerate() {
        let (object, output) = (unit.object(), format!("{WORK}/{}", object_name(number)));
        let Sides { original, symbols } = match engine.is_new(unit) {
            false => {
                let table = tables.get(&unit.parent).cloned();
                let symbols = table.unwrap_or_else(|| symbols_of(&unit.parent));
                Sides { original: format!("/original/{object}"), symbols }
            }
            true => new_object::nothing_before(engine, unit, number)?,
        };
        let words: [&str; WORDS] = [
            &output,
            "/usr/lib/kpatch/create-diff-object",
            &original,
            &object,
            unit.parent.name(),
            &symbols,
            "Module.symvers",
            engine.module_name,
            &output,
        ];
        arguments.extend(words.iter().flat_map(|word| word.bytes().chain([0])));
    }
    let arguments = engine.patched.write_input("diff.arguments", &arguments)?;
    let mut command = engine
        .patched
        .command([
            "sh",
            "-c",
            COMPARE_ALL,
            "sh",
            &format!("--arg-file={arguments}"),
            &format!("--max-procs={}", engine.make.jobs()),
            "--null",
            &format!("--max-args={WORDS}"),
            "sh",
            &script,
        ])
        .read_only(&original_objects(engine), "/original");
    let parents: BTreeSet<&Parent> = units.iter().map(|unit| &unit.parent).collect();
    for parent in parents {
        command = command.read_only(&symbol_table(engine, parent)?, &symbols_of(parent));
    }
    for (structure, variable) in STRUCT_VARIABLES {
        if let Some(size) = engine.base.facts().struct_sizes.get(structure) {
            command = command.environment(variable, size.to_string());
        }
    }
    let finished = engine.sandbox.run(&command, StepName::Diff, engine.observer)?;
    if !finished.succeeded() {
        return Err(tool_failure("xargs", "the changed objects", &finished));
    }
    let output = |number: usize, ending: &str| {
        let name = format!("{}.{ending}", object_name(number));
        engine.patched.take_output(&name, LOG_BYTES, FailureClass::EngineFailed)
    };
    (0..units.len())
        .map(|number| {
            let code = String::from_utf8_lossy(&output(number, "code")?).trim().parse();
            // A shell gives codes above 128 for what a signal ended.
            let code: u8 = code.map_err(|_| internal("create-diff-object left no exit code"))?;
            let ended = Ended::Exited(ExitStatus::from_raw(i32::from(code) << 8));
            Ok(Finished { ended, output: output(number, "log")? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_symbols_at_the_end_are_not_the_last_files() {
        let line = |kind, bind, name| format!("  7: 0 16 {kind} {bind} DEFAULT 2 {name}\n");
        let kept = [
            line("FILE", "LOCAL", "last.c"),
            line("FUNC", "LOCAL", "show"),
            line("FUNC", "GLOBAL", "__pfx_exported"),
        ];
        let all = [&kept[0], &kept[1], &line("FUNC", "LOCAL", "__pfx_of_first"), &kept[2]];
        assert_eq!(without_prefix_symbols(&all.map(String::as_str).concat()), kept.concat());
    }
}
