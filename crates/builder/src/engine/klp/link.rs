use elivepatch_model::{Failure, FailureClass, StepName};

use super::{COMPILE_FLAGS, KlpEngine, OBJTOOL};
use crate::{
    base::WORK,
    engine::{ChangedObject, messages::tool_failure},
};

/// Lays out the module's directory as Kbuild wants it: the kernel's own init code, and the objects
/// that objtool made, which are there already (`_shipped`) and have no record of how.
const LAY_OUT: &str = r#"
set -e
directory=$1 name=$2
shift 2
mkdir "$directory"
cp scripts/livepatch/init.c "$directory"
objects=
for object; do
    mkdir -p "$(dirname "$directory/$object")"
    cp "/scratch/diff/$object" "$directory/${object}_shipped"
    cp "/scratch/diff/$object" "$directory/$object"
    : > "$(dirname "$directory/$object")/.$(basename "$object").cmd"
    objects="$objects $object"
done
printf 'obj-m := %s.o\n%s-y := init.o%s\n' "$name" "$name" "$objects" > "$directory/Kbuild"
"#;

/// Makes livepatch relocations of what the linker would have spoilt.
const POST_LINK: &str = r#"
set -e
"$2" klp post-link "$1"
cp "$1" /scratch/
"#;

/// Has the kernel's init code make a livepatch that replaces no other (`klp-build --no-replace`).
const STACK: &str = " -DKLP_NO_REPLACE";

/// The largest module that is taken, in bytes. One that replaces a function has some 20 kB.
const MODULE_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn link(engine: &KlpEngine, changed: &[ChangedObject]) -> Result<Vec<u8>, Failure> {
    let input = &engine.input;
    let name = input.module_name;
    let directory = format!("{WORK}/module");
    let prefix = format!("{WORK}/diff/");
    let mut objects: Vec<&str> =
        changed.iter().filter_map(|object| object.inside.strip_prefix(&prefix)).collect();
    // In an order that is the same on every machine.
    objects.sort_unstable();
    objects.dedup();
    let arguments: Vec<&str> = [directory.as_str(), name].into_iter().chain(objects).collect();
    run(engine, LAY_OUT, &arguments)?;

    // No type information: it would have to be made against a vmlinux that is not in the tree.
    let words = input.make.words([&format!("M={directory}"), "CONFIG_DEBUG_INFO_BTF_MODULES="]);
    let stack = if input.stack { STACK } else { "" };
    let flags = format!("{COMPILE_FLAGS}{stack}");
    let make = engine.view.command(words).environment("KCFLAGS", flags);
    let class = FailureClass::LinkFailed;
    input.sandbox.run_checked(&make, StepName::Link, input.observer, class)?;

    run(engine, POST_LINK, &[&format!("{directory}/{name}.ko"), OBJTOOL])?;
    engine.view.take_output(&format!("{name}.ko"), MODULE_BYTES, class)
}

fn run(engine: &KlpEngine, script: &str, arguments: &[&str]) -> Result<(), Failure> {
    let finished = engine.script(script, arguments, StepName::Link)?;
    if finished.succeeded() {
        return Ok(());
    }
    Err(tool_failure("objtool", engine.input.module_name, &finished))
}
