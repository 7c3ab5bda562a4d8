use elivepatch_elf::with_fentry_nops;
use elivepatch_model::{Failure, FailureClass, StepName};

use super::{
    KPATCH_HEADERS, KpatchEngine, diff::ChangedObject, messages::link_failure, moved::check_moved,
    parents::check_names, references::read_changed,
};
use crate::{failures::internal, sandbox::SandboxCommand, symbols::read_listing};

/// Copies kpatch's module directory. modpost wants to know how each object in it was made (an error
/// from 5.8 on), and output.o is made by `ld` alone: an empty record says so.
const COPY_MODULE_DIRECTORY: &str = r#"cp --recursive "$1" "$2" && touch "$2/.output.o.cmd""#;

/// Where kpatch's module directory is copied to, in the sandbox.
const MODULE_DIRECTORY: &str = "/scratch/kpatch";

/// Has kpatch's hook make a livepatch that replaces no other (`kpatch-build --non-replace`).
const STACK: &str = " -DKLP_REPLACE_ENABLE=false";

/// The largest module that is taken, in bytes. One that replaces a function has some 20 kB.
const MODULE_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn link(engine: &KpatchEngine, changed: &[ChangedObject]) -> Result<Vec<u8>, Failure> {
    check_names_of(engine, changed)?;
    let name = engine.module_name;
    let copy = ["sh", "-c", COPY_MODULE_DIRECTORY, "sh", KPATCH_HEADERS, MODULE_DIRECTORY];
    run(engine, words(copy))?;

    let output = format!("{MODULE_DIRECTORY}/output.o");
    let mut link = words(["ld", "-r", "-o", &output]);
    link.extend(changed.iter().map(|object| object.inside.clone()));
    run(engine, link)?;

    // No type information for the module: it would have to be made against a vmlinux that is not
    // in the tree, and the kernel loads a module without it.
    let arguments =
        [&format!("M={MODULE_DIRECTORY}"), "CFLAGS_MODULE=", "CONFIG_DEBUG_INFO_BTF_MODULES="];
    // clang warns of kpatch's own code: no error, also where the config makes errors of warnings.
    let stack = if engine.stack { STACK } else { "" };
    let make = engine
        .patched
        .command(engine.make.words(arguments))
        .environment("KPATCH_NAME", name)
        .environment("KPATCH_BUILD", "/build")
        .environment("KCFLAGS", format!("-I{KPATCH_HEADERS} -Wno-error{stack}"));
    check(engine, &make)?;

    // Before create-klp-module: strip does not know the marks that it puts on symbols.
    let linked = format!("{MODULE_DIRECTORY}/{name}.ko");
    run(engine, words(["strip", "--strip-debug", &linked]))?;
    let module = format!("{name}.ko");
    // The flag is for kernels from 5.8 on, whose special sections need no late treatment.
    run(
        engine,
        words([
            "/usr/lib/kpatch/create-klp-module",
            "--no-klp-arch-sections",
            &linked,
            &format!("/scratch/{module}"),
        ]),
    )?;
    let bytes = engine.patched.take_output(&module, MODULE_BYTES, FailureClass::LinkFailed)?;
    if !engine.make.wants_fentry_nops() {
        return Ok(bytes);
    }
    with_fentry_nops(bytes).map_err(|error| internal(format!("{module}: {error}")))
}

/// Looks at what the objects define for others before they are linked.
fn check_names_of(engine: &KpatchEngine, changed: &[ChangedObject]) -> Result<(), Failure> {
    let defined: Vec<_> = changed
        .iter()
        .map(|object| Ok((&object.unit, read_changed(engine, object)?.new_globals)))
        .collect::<Result<_, Failure>>()?;
    check_names(&defined)?;
    check_moved(&defined, &|parent| read_listing(engine.base, parent))
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn run(engine: &KpatchEngine, program: Vec<String>) -> Result<(), Failure> {
    check(engine, &engine.patched.command(program))
}

/// Runs a tool and says in the field's words why it failed.
fn check(engine: &KpatchEngine, command: &SandboxCommand) -> Result<(), Failure> {
    let finished = engine.sandbox.run(command, StepName::Link, engine.observer)?;
    if finished.succeeded() {
        return Ok(());
    }
    Err(link_failure(command.name(), &format!("{}.ko", engine.module_name), &finished))
}
