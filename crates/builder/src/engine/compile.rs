use std::thread;

use elivepatch_model::{Failure, FailureClass, StepName};

use super::{KPATCH_HEADERS, KpatchEngine, compiler_errors::compiler_errors};
use crate::{apply::AppliedFixes, base::Workspace, process::Finished};

/// Where the objects go in each workspace's work directory.
pub(super) const OBJECTS: &str = "objects";

pub(super) fn compile(
    engine: &KpatchEngine,
    sources: &[String],
    fixes: &AppliedFixes,
) -> Result<Vec<String>, Failure> {
    let objects: Vec<String> = sources
        .iter()
        .map(|source| format!("{}.o", source.strip_suffix(".c").unwrap_or(source)))
        .collect();
    // Both at once: one compiler call leaves the other cores idle.
    let (original, patched) = thread::scope(|scope| {
        let original = scope.spawn(|| compile_in(engine, engine.original, &objects));
        let patched = compile_in(engine, engine.patched, &objects);
        (original.join().expect("compiling reports errors, not panics"), patched)
    });
    let (original, patched) = (original?, patched?);
    if !original.succeeded() {
        return Err(Failure::new(
            FailureClass::BaseCompileFailed,
            "the target's own source does not compile on this base",
            "this is not the patch's fault: please report it with the build's log",
        )
        .with_details(original.last_lines(20)));
    }
    if !patched.succeeded() {
        return Err(compile_failure(&patched, fixes));
    }
    for workspace in [engine.original, engine.patched] {
        keep_objects(engine, workspace, &objects)?;
    }
    Ok(objects)
}

fn compile_in(
    engine: &KpatchEngine,
    workspace: &Workspace,
    objects: &[String],
) -> Result<Finished, Failure> {
    // A section for each function and variable is what makes them comparable one by one.
    let flags = format!("-I{KPATCH_HEADERS} -ffunction-sections -fdata-sections");
    let command = workspace.command(engine.make.words(objects)).environment("KCFLAGS", flags);
    engine.sandbox.run(&command, StepName::Compile, engine.observer)
}

fn keep_objects(
    engine: &KpatchEngine,
    workspace: &Workspace,
    objects: &[String],
) -> Result<(), Failure> {
    let place = workspace.work().join(OBJECTS);
    engine.sandbox.make_directory(&place)?;
    let mut words = vec!["cp".to_owned(), "--parents".to_owned(), "--".to_owned()];
    words.extend(objects.iter().cloned());
    words.push(format!("/scratch/{OBJECTS}/"));
    let command = workspace.command(words);
    engine
        .sandbox
        .run_checked(&command, StepName::Compile, engine.observer, FailureClass::CompileFailed)
        .map(drop)
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
