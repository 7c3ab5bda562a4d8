//! Compiling the touched objects, as they were and as patched.
//!
//! The original of an object is compiled once for a base, by Kbuild; the command that Kbuild saved
//! then compiles the patched one, in this build and in every later one. make itself is called only
//! for objects of which there is no such command.

mod base_failures;
mod constants;
mod missed_units;
mod originals;
mod parent_check;
mod plain;
mod progress;
mod saved_command;
mod script;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass, StepName};

pub(in crate::engine) use self::progress::CompileProgress;
pub(super) use self::{
    missed_units::with_missed_units,
    saved_command::{SavedCommand, with_flags},
    script::{Job, compile_by_script},
    store::Original,
};
pub(crate) use self::{
    originals::OBJECT_BYTES,
    plain::{Debug, PlainCompiler},
    store::limit_originals,
};
use self::{parent_check::check_parents, store::Store};
use super::{KpatchEngine, compiler_errors::compiler_errors};
use crate::{
    apply::AppliedFixes,
    base::{COMPILE_FLAGS, Workspace},
    failures::io_failure,
    kbuild_record::{Compiled, RECORD_BYTES, record_path},
    process::Finished,
    unit::{Unit, in_tree},
};

/// Objects that are compiled by one tool in the sandbox. A patch to a header may reach thousands,
/// and the time of one tool is limited.
pub(super) const BATCH: usize = 200;

/// Compiles the objects of the units in both states.
///
/// The lists of files that the compiler read decide: an object that reads no touched file stays as
/// it is, and is not compiled again.
///
/// A unit that the fixes add has no original, and is compiled by make.
pub(super) fn compile(
    engine: &KpatchEngine,
    units: &[Unit],
    fixes: &AppliedFixes,
) -> Result<(), Failure> {
    let all: Vec<&Unit> = units.iter().collect();
    // One object may be linked into several parents.
    let units: BTreeMap<String, &Unit> = units.iter().map(|unit| (unit.object(), unit)).collect();
    let known = units.values().filter(|unit| !engine.is_new(unit));
    let originals = originals::originals(engine, &known.copied().collect::<Vec<_>>())?;

    let (mut jobs, mut by_make) = (Vec::new(), Vec::new());
    for (object, unit) in &units {
        match originals.get(object) {
            Some(original) if !original.is_affected(engine.touched) => {}
            Some(Original { command: Some(command), .. }) => {
                check_parents(&all, object, &command.shell)?;
                jobs.push((object, engine.patched_command(object, &command.shell)));
            }
            _ => by_make.push(*unit),
        }
    }
    constants::check_constants(engine)?;
    let progress = CompileProgress::new("patched", jobs.len() + by_make.len(), engine.observer);
    let jobs: Vec<Job> = jobs.iter().map(|(object, shell)| Job { object, shell }).collect();
    for batch in jobs.chunks(BATCH) {
        let cores = engine.make.jobs();
        let finished = compile_by_script(batch, cores, engine.patched, engine.sandbox, &progress)?;
        check(&finished, fixes)?;
    }
    // make has one set of flags for all that it is asked for.
    let (plain, with_more): (Vec<&Unit>, Vec<&Unit>) =
        by_make.into_iter().partition(|unit| engine.more_flags(&unit.object()).is_empty());
    for batch in plain.chunks(BATCH).chain(with_more.chunks(BATCH)) {
        let goals = engine.make.words(batch.iter().map(|unit| unit.goal()));
        let flags = format!("{COMPILE_FLAGS} {}", engine.more_flags(&batch[0].object()));
        let command = engine.patched.command(goals).environment("KCFLAGS", flags.trim_end());
        check(&engine.sandbox.run(&command, StepName::Compile, &progress)?, fixes)?;
        for unit in batch {
            let object = &unit.object();
            let path = record_path(object);
            let record = engine.patched.read_made(&path, RECORD_BYTES);
            let record = record.map_err(|error| {
                io_failure(FailureClass::BaseFailed, "read", Utf8Path::new(&path), &error)
            })?;
            check_parents(&all, object, &String::from_utf8_lossy(&record))?;
        }
    }
    units.keys().try_for_each(|object| reads_nothing_left_out(engine, object))
}

/// Refuses an object whose patched code was compiled with a file whose changes were left out: nothing
/// of the kernel as it is reads the file, but the fixes lead to it.
fn reads_nothing_left_out(engine: &KpatchEngine, object: &str) -> Result<(), Failure> {
    if engine.left_out.is_empty() {
        return Ok(());
    }
    let Some(read) = files_read(engine.patched, object) else { return Ok(()) };
    let Some(file) = engine.left_out.iter().find(|file| read.contains(*file)) else {
        return Ok(());
    };
    Err(Failure::new(
        FailureClass::NotPatchable,
        format!(
            "the patched {object} is compiled with {file}, whose changes were left out because \
             nothing of this kernel reads it"
        ),
        "have the patch include the file by its name where it is needed",
    ))
}

/// What the compiler read for an object of a workspace, if it was compiled there: its own list, which
/// Kbuild makes a record of.
fn files_read(workspace: &Workspace, object: &str) -> Option<BTreeSet<String>> {
    let record = record_path(object);
    let list = record.strip_suffix(".cmd")?.to_owned() + ".d";
    if let Ok(list) = workspace.read_made(&list, RECORD_BYTES) {
        let list = String::from_utf8_lossy(&list);
        let words = list.split_ascii_whitespace().filter(|word| *word != "\\");
        return Some(words.map(in_tree).collect());
    }
    let record = workspace.read_made(&record, RECORD_BYTES).ok()?;
    Some(Compiled::parse(&String::from_utf8_lossy(&record))?.files)
}

/// The object as it was; `None` when the base has none, or one that was damaged.
pub(super) fn original_of(engine: &KpatchEngine, object: &str) -> Option<Original> {
    Store::of(engine.base, &engine.make).get(object)
}

/// The directory of the machine that holds the objects as they were, by their paths in the tree.
pub(super) fn original_objects(engine: &KpatchEngine) -> Utf8PathBuf {
    Store::of(engine.base, &engine.make).objects()
}

/// Refuses what did not compile, with the compiler's errors at lines of the patch.
pub(super) fn check(finished: &Finished, fixes: &AppliedFixes) -> Result<(), Failure> {
    if finished.succeeded() { Ok(()) } else { Err(compile_failure(finished, fixes)) }
}

fn compile_failure(finished: &Finished, fixes: &AppliedFixes) -> Failure {
    let errors = compiler_errors(&finished.text(), fixes);
    let (message, details) = match errors.first() {
        Some(first) => (format!("the patched source does not compile: {first}"), errors),
        None => ("the patched source does not compile".to_owned(), finished.last_lines(20)),
    };
    Failure::new(
        FailureClass::CompileFailed,
        message,
        "correct the patch; the line numbers before the messages are those of the patch",
    )
    .with_details(details)
}
