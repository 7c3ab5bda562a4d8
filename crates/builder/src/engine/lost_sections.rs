//! What a patch adds to an object and the engines' tools pass over without a word: they take
//! functions, data and what they need. An initcall is neither called nor missed.
//!
//! A section that is new says it; where the object has such a section already, what the section
//! refers to does.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_elf::{references, section_names};
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
const FOR_OTHERS: [(&str, &str); 3] = [
    ("_ksymtab", EXPORTS),
    // since 6.4
    (".export_symbol", EXPORTS),
    ("__param", "the parameters that the patch adds cannot be set"),
];

const EXPORTS: &str = "the exports that the patch adds are for no other module to use";

/// Looks at the sections that a patched object has and its original has not. `kind` is the engine
/// that makes the livepatch.
///
/// # Errors
/// `init-code` when something would have to run at the start of the kernel; `not-patchable` when
/// something is said to the other engine.
pub(super) fn check(engine: &KpatchEngine, unit: &Unit, kind: Engine) -> Result<(), Failure> {
    let object = unit.object();
    let patched = engine.patched.read_made(&object, OBJECT_BYTES);
    let patched = Content::read(&object, patched)?;
    let original = match engine.is_new(unit) {
        true => Content::default(),
        false => {
            let original = original_objects(engine);
            Content::read(&object, read_untrusted_below(&original, &object, OBJECT_BYTES))?
        }
    };
    let added = patched.added_to(&original);
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

/// The sections of an object, and what the lists among them refer to.
#[derive(Debug, Default)]
struct Content {
    sections: BTreeSet<String>,
    /// How often a section refers to a symbol.
    entries: BTreeMap<(String, String), usize>,
}

impl Content {
    fn read(object: &str, bytes: std::io::Result<Vec<u8>>) -> Result<Self, Failure> {
        let bytes = bytes.map_err(|error| internal(format!("cannot read {object}: {error}")))?;
        let failed = |error| internal(format!("{object}: {error}"));
        let mut content =
            Self { sections: section_names(&bytes).map_err(failed)?, ..Self::default() };
        for entry in references(&bytes, is_list).map_err(failed)? {
            *content.entries.entry((entry.from, entry.to)).or_default() += 1;
        }
        Ok(content)
    }

    /// The sections that are new, and those lists that have more entries than before.
    fn added_to(&self, original: &Self) -> BTreeSet<String> {
        let new = self.sections.difference(&original.sections).cloned();
        let more = self.entries.iter().filter(|(entry, count)| {
            original.entries.get(*entry).is_none_or(|before| before < *count)
        });
        new.chain(more.map(|((section, _), _)| section.clone())).collect()
    }
}

/// Whether a section only lists what is elsewhere. Code and data that begins to be used in one that
/// holds code and data is the engines' to see.
fn is_list(section: &str) -> bool {
    const HOLD_CODE_OR_DATA: [&str; 2] = [".init.text", ".init.data"];
    let prefixes = AT_START.iter().copied().chain(FOR_OTHERS.iter().map(|(part, _)| *part));
    let mut prefixes = prefixes.filter(|prefix| !HOLD_CODE_OR_DATA.contains(prefix));
    prefixes.any(|prefix| section.contains(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::compiled::compile;

    const HEAD: &str = r#"
        #define __init __attribute__((section(".init.text"), used))
        #define initcall(level, function) __asm__(".section .initcall" #level ".init,\"a\"\n" \
            "__initcall_" #function #level ": .long " #function " - .\n.previous")
        struct obs_kernel_param { const char *text; int (*setup)(char *); int early; };
        #define setup(function) static const char __setup_str_##function[] = #function "="; \
            static struct obs_kernel_param __setup_##function \
            __attribute__((used, section(".init.setup"))) = { __setup_str_##function, function, 0 }
        #define export(function) __asm__(".section .export_symbol,\"a\"\n" \
            ".asciz \"GPL\"\n.balign 8\n.quad " #function "\n.previous")
    "#;

    const DRIVER: &str = "static int __init first(void) { return 1; } initcall(6, first);\n\
        static int __init option(char *x) { return !x; } setup(option);\n\
        int shown(void) { return 2; } export(shown);\n";

    fn added(more: &str) -> Vec<String> {
        let content = |source: String| {
            let bytes = compile(&(HEAD.to_owned() + &source), &["-O2", "-ffunction-sections"]);
            Content::read("a.o", Ok(bytes)).expect("an object")
        };
        let (original, patched) = (content(DRIVER.to_owned()), content(DRIVER.to_owned() + more));
        patched.added_to(&original).into_iter().collect()
    }

    #[test]
    fn what_is_added_to_lists_that_are_there_is_seen() {
        let second = "static int __init second(void) { return 3; }\n";
        assert_eq!(added(&format!("{second} initcall(6, second);")), [".initcall6.init"]);
        assert_eq!(
            added("static int __init other(char *x) { return !x; } setup(other);"),
            [".init.setup"]
        );
        let found = added("int more(void) { return 4; } export(more);");
        assert_eq!(found, [".export_symbol", ".text.more"]);
    }

    #[test]
    fn initcall_of_another_level_and_one_that_is_called_twice_are_seen() {
        let found = added("initcall(7, first);");
        assert_eq!(found, [".initcall7.init", ".rela.initcall7.init"]);
        let twice = r#"__asm__(".section .initcall6.init,\"a\"\n.long first - .\n.previous");"#;
        assert_eq!(added(twice), [".initcall6.init"]);
    }

    #[test]
    fn other_changes_add_nothing() {
        assert_eq!(added("static int unused;"), Vec::<String>::new());
    }
}
