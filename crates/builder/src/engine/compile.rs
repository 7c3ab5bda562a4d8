use std::thread;

use elivepatch_model::{Failure, FailureClass, StepName};

use super::{KpatchEngine, compiler_errors::compiler_errors};
use crate::{
    apply::AppliedFixes,
    base::{COMPILE_FLAGS, Workspace},
    process::Finished,
    unit::Unit,
};

pub(super) fn compile(
    engine: &KpatchEngine,
    units: &[Unit],
    fixes: &AppliedFixes,
) -> Result<(), Failure> {
    let objects: Vec<String> = units.iter().map(Unit::object).collect();
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
    Ok(())
}

fn compile_in(
    engine: &KpatchEngine,
    workspace: &Workspace,
    objects: &[String],
) -> Result<Finished, Failure> {
    let command =
        workspace.command(engine.make.words(objects)).environment("KCFLAGS", COMPILE_FLAGS);
    engine.sandbox.run(&command, StepName::Compile, engine.observer)
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
