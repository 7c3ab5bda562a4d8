//! What a patch adds to an object and the engines' tools pass over without a word: they take
//! functions, data and what they need. An initcall is neither called nor missed.

use std::collections::BTreeSet;

use elivepatch_elf::section_names;
use elivepatch_model::{BuildEvent, Engine, Failure, FailureClass, StepName};

use super::{KpatchEngine, compile::original_objects};
use crate::{failures::internal, unit::Unit, untrusted_file::read_untrusted_below};

/// The largest object, in bytes; with debug information the largest of a kernel have some 10 MB.
const OBJECT_BYTES: u64 = 256 * 1024 * 1024;

/// What runs when the kernel starts: nothing does that for a livepatch. The names are those of
/// include/asm-generic/vmlinux.lds.h.
const AT_START: [&str; 5] =
    [".initcall", ".con_initcall", ".init.setup", ".init.text", ".init.data"];

/// The sections with what a patch says to one engine and the other does not look for: the callbacks
/// above all. They are those of kpatch-macros.h, and of include/linux/livepatch_helpers.h.
const SAID_TO_ONE_ENGINE: [(Engine, &str); 2] =
    [(Engine::Kpatch, ".kpatch."), (Engine::KlpBuild, ".discard.klp_callback_ptrs")];

/// What is for others to find, and the livepatch works without.
const FOR_OTHERS: [(&str, &str); 2] = [
    ("_ksymtab", "the exports that the patch adds are for no other module to use"),
    ("__param", "the parameters that the patch adds cannot be set"),
];

/// Looks at the sections that a patched object has and its original has not. `kind` is the engine
/// that makes the livepatch.
///
/// # Errors
/// `init-code` when something would have to run at the start of the kernel; `not-patchable` when
/// something is said to the other engine.
pub(super) fn check(engine: &KpatchEngine, unit: &Unit, kind: Engine) -> Result<(), Failure> {
    let object = unit.object();
    let patched = engine.patched.read_made(&object, OBJECT_BYTES);
    let patched = names(&object, patched)?;
    let original = match engine.is_new(unit) {
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
            format!("run it from a callback instead: {}", callbacks_of(kind)),
        ));
    }
    for (other, part) in SAID_TO_ONE_ENGINE {
        if other != kind && added.iter().any(|name| name.contains(part)) {
            return Err(Failure::new(
                FailureClass::NotPatchable,
                format!(
                    "the patch has callbacks or marks for the engine {other} in {object}, which \
                     the engine {kind} does not look for"
                ),
                format!("use those of {kind} ({}), or --engine {other}", callbacks_of(kind)),
            ));
        }
    }
    for (part, what) in FOR_OTHERS {
        if added.iter().any(|name| name.contains(part)) {
            let line = format!("{object}: {what}");
            engine.observer.event(BuildEvent::Log { step: StepName::Diff, line });
        }
    }
    Ok(())
}

fn callbacks_of(engine: Engine) -> &'static str {
    match engine {
        Engine::Kpatch => "KPATCH_PRE_PATCH_CALLBACK of kpatch-macros.h",
        Engine::KlpBuild => "KLP_PRE_PATCH_CALLBACK of linux/livepatch_helpers.h",
    }
}

fn names(object: &str, bytes: std::io::Result<Vec<u8>>) -> Result<BTreeSet<String>, Failure> {
    let bytes = bytes.map_err(|error| internal(format!("cannot read {object}: {error}")))?;
    section_names(&bytes).map_err(|error| internal(format!("{object}: {error}")))
}
