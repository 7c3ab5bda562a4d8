//! What a patch adds to an object and `create-diff-object` passes over without a word: it takes
//! functions, data and what they need. An initcall is neither called nor missed.

use std::collections::BTreeSet;

use elivepatch_elf::section_names;
use elivepatch_model::{BuildEvent, Failure, FailureClass, StepName};

use super::{KpatchEngine, compile::original_objects, new_object::is_new};
use crate::{failures::internal, unit::Unit, untrusted_file::read_untrusted_below};

/// The largest object, in bytes; with debug information the largest of a kernel have some 10 MB.
const OBJECT_BYTES: u64 = 256 * 1024 * 1024;

/// What runs when the kernel starts: nothing does that for a livepatch. The names are those of
/// include/asm-generic/vmlinux.lds.h.
const AT_START: [&str; 5] =
    [".initcall", ".con_initcall", ".init.setup", ".init.text", ".init.data"];

/// What is for others to find, and the livepatch works without.
const FOR_OTHERS: [(&str, &str); 2] = [
    ("_ksymtab", "the exports that the patch adds are for no other module to use"),
    ("__param", "the parameters that the patch adds cannot be set"),
];

/// Looks at the sections that a patched object has and its original has not.
///
/// # Errors
/// `init-code` when something would have to run at the start of the kernel.
pub(super) fn check(engine: &KpatchEngine, unit: &Unit) -> Result<(), Failure> {
    let object = unit.object();
    let patched = engine.patched.read_made(&object, OBJECT_BYTES);
    let patched = names(&object, patched)?;
    let original = match is_new(engine, unit) {
        true => BTreeSet::new(),
        false => {
            names(&object, read_untrusted_below(&original_objects(engine), &object, OBJECT_BYTES))?
        }
    };
    let added: Vec<&String> = patched.difference(&original).collect();
    let begins = |prefix: &str| added.iter().find(|name| name.starts_with(prefix));
    if let Some(section) = AT_START.iter().find_map(|prefix| begins(prefix)) {
        return Err(Failure::new(
            FailureClass::InitCode,
            format!(
                "the patch adds what runs when the kernel starts to {object} ({section}), and \
                 nothing runs it in a livepatch"
            ),
            "run it from a callback instead: KPATCH_PRE_PATCH_CALLBACK of kpatch-macros.h",
        ));
    }
    for (part, what) in FOR_OTHERS {
        if added.iter().any(|name| name.contains(part)) {
            let line = format!("{object}: {what}");
            engine.observer.event(BuildEvent::Log { step: StepName::Diff, line });
        }
    }
    Ok(())
}

fn names(object: &str, bytes: std::io::Result<Vec<u8>>) -> Result<BTreeSet<String>, Failure> {
    let bytes = bytes.map_err(|error| internal(format!("cannot read {object}: {error}")))?;
    section_names(&bytes).map_err(|error| internal(format!("{object}: {error}")))
}
