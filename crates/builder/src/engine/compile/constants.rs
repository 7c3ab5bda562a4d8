//! Constants that the build reads out of compiled files and gives to assembly: sizes and offsets of
//! structures. A header may change them, and nothing that is built from them can be live-patched.

use std::collections::BTreeSet;

use elivepatch_model::{Failure, FailureClass};

use super::{
    saved_command::SavedCommand,
    script::{Job, compile_by_script},
};
use crate::{
    base::Base, engine::KpatchEngine, failures::internal, kbuild_record::RECORD_BYTES,
    untrusted_file::read_untrusted_below,
};

/// The files that are compiled for their constants (the rules with `filechk,offsets` of the top-level
/// Kbuild and of the Makefiles beside the others), where the kernel has them.
const SOURCES: [&str; 6] = [
    "kernel/bounds.c",
    "arch/x86/kernel/asm-offsets.c",
    "kernel/sched/rq-offsets.c",
    "scripts/mod/devicetable-offsets.c",
    "arch/x86/kvm/kvm-asm-offsets.c",
    "arch/x86/hyperv/mshv-asm-offsets.c",
];

/// Refuses fixes that change such a constant.
///
/// # Errors
/// `patch-build-system` with the constants; those of the sandbox.
pub(super) fn check_constants(engine: &KpatchEngine) -> Result<(), Failure> {
    let affected: Vec<(String, SavedCommand)> = SOURCES
        .iter()
        .filter_map(|source| saved_command(engine.base, source))
        .filter(|(_, command)| {
            engine.touched.iter().any(|file| command.dependencies.contains(file))
        })
        .collect();
    if affected.is_empty() {
        return Ok(());
    }
    let jobs: Vec<Job> =
        affected.iter().map(|(object, command)| Job { object, shell: &command.shell }).collect();
    let finished = compile_by_script(
        &jobs,
        engine.make.jobs(),
        engine.patched,
        engine.sandbox,
        engine.observer,
    )?;
    if !finished.succeeded() {
        return Err(Failure::new(
            FailureClass::CompileFailed,
            "the constants that the build takes from C code cannot be compiled with the patch",
            "correct the patch; the compiler's messages are in the build's log",
        )
        .with_details(finished.last_lines(20)));
    }
    for (output, _) in &affected {
        let unreadable = |error| internal(format!("cannot read {output}: {error}"));
        let old = read_untrusted_below(&engine.base.tree(), output, RECORD_BYTES);
        let new = engine.patched.read_made(output, RECORD_BYTES);
        let (old, new) = (old.map_err(unreadable)?, new.map_err(unreadable)?);
        let (old, new) = (constants(&old), constants(&new));
        if old != new {
            return Err(changed(output, &old, &new));
        }
    }
    Ok(())
}

fn saved_command(base: &Base, source: &str) -> Option<(String, SavedCommand)> {
    let stem = source.strip_suffix(".c").unwrap_or(source);
    let output = format!("{stem}.s");
    let (directory, name) = output.rsplit_once('/')?;
    let record = format!("{directory}/.{name}.cmd");
    let record = read_untrusted_below(&base.tree(), &record, RECORD_BYTES).ok()?;
    let command = SavedCommand::parse(&String::from_utf8_lossy(&record), &output, source)?;
    Some((output, command))
}

/// The lines that hold constants: `.ascii "->NAME $VALUE EXPRESSION"` (include/linux/kbuild.h).
fn constants(assembly: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(assembly);
    let constant = |line: &str| {
        let (_, text) = line.split_once("\"->")?;
        text.split_once('"').map(|(text, _)| text.to_owned())
    };
    text.lines().filter_map(constant).collect()
}

fn changed(output: &str, old: &BTreeSet<String>, new: &BTreeSet<String>) -> Failure {
    let mut details: Vec<String> = old.difference(new).map(|line| format!("was: {line}")).collect();
    details.extend(new.difference(old).map(|line| format!("becomes: {line}")));
    details.truncate(20);
    Failure::new(
        FailureClass::PatchBuildSystem,
        format!("the patch changes constants that assembly and the build take from {output}"),
        "leave out the change of the header that they come from: what is built from them cannot be \
         live-patched",
    )
    .with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_found_in_assembly() {
        let assembly = b"\t.text\n\t.ascii \"->TASK_threadsp $2200 offsetof(a, b)\"\t#\n\
            # 1 \"x.c\" 1\n.ascii \"->\"\n.ascii \"text\"\n";
        let found: Vec<String> = constants(assembly).into_iter().collect();
        assert_eq!(found, ["", "TASK_threadsp $2200 offsetof(a, b)"]);
    }
}
