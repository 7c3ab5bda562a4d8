//! The messages of kpatch's and objtool's tools, with what each means.

use elivepatch_model::FailureClass;

/// A message of a tool.
pub(super) struct Rule {
    /// A part of the line; `{}` stands for any text, the first for the name that it is about.
    pub pattern: &'static str,
    /// What it means.
    pub meaning: Meaning,
}

/// What a message means.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// This class, told in these words about `{}`.
    Class(FailureClass, &'static str),
    /// It depends on the section that is named.
    Section,
}

const fn rule(pattern: &'static str, class: FailureClass, words: &'static str) -> Rule {
    Rule { pattern, meaning: Meaning::Class(class, words) }
}

/// All messages that are understood. A line is taken by the first that fits.
pub(super) const RULES: &[Rule] = &[
    // create-diff-object: kpatch_verify_patchability().
    Rule { pattern: "data section {} selected for inclusion", meaning: Meaning::Section },
    rule(
        "changed section {} is part of a section group",
        FailureClass::SectionUnsupported,
        "the section {}, which belongs to a group of sections, differs",
    ),
    Rule { pattern: "changed section {} not selected for inclusion", meaning: Meaning::Section },
    rule(
        "new/changed group sections are not supported",
        FailureClass::SectionUnsupported,
        "a group of sections is new or differs",
    ),
    // kpatch_check_func_profiling_calls(); the second is 0.9.10's.
    rule(
        "function {} doesn't have patchable function entry, unable to patch",
        FailureClass::FunctionNotTraceable,
        "the kernel cannot redirect {}: no call to __fentry__ begins it",
    ),
    rule(
        "function {} has no fentry/mcount call, unable to patch",
        FailureClass::FunctionNotTraceable,
        "the kernel cannot redirect {}: no call to __fentry__ begins it",
    ),
    // Static locals. create-diff-object; the names are those of variable and function.
    rule(
        "reference to static local variable {} in {} was removed",
        FailureClass::StaticLocalRemoved,
        "the static local variable {} is used no more, and its value would be lost",
    ),
    rule(
        "static local {} has been correlated with {}, but patched",
        FailureClass::StaticLocalRemoved,
        "a function uses the static local variable {} no more, and its value would be lost",
    ),
    // kpatch_compare_correlated_symbol() and kpatch_compare_correlated_nonrela_section().
    rule(
        "symbol info mismatch: {}",
        FailureClass::SymbolChanged,
        "{} changes its storage class or kind",
    ),
    rule("symbol changed sections: {}", FailureClass::SymbolChanged, "{} moves to another section"),
    rule("object size mismatch: {}", FailureClass::DataChanged, "the variable {} changes its size"),
    rule(
        ": {} section header details differ from ",
        FailureClass::SectionUnsupported,
        "the section {} changes its kind",
    ),
    // kpatch_check_relocations() of symbols that share a section, and kpatch_detect_child_functions().
    rule(
        ": bundle mismatch for symbol {}",
        FailureClass::SymbolChanged,
        "{} gets a section of its own, or loses it",
    ),
    rule(
        " aren't correlated for symbol {}",
        FailureClass::SymbolChanged,
        "{} moves to another section",
    ),
    rule(
        ": failed to find parent function for {}",
        FailureClass::NotPatchable,
        "the compiler made {} of a function that cannot be found",
    ),
    // kpatch-macros.h: what is to be ignored has to be there.
    rule(
        "KPATCH_IGNORE_SECTION: can't find {}",
        FailureClass::NotPatchable,
        "KPATCH_IGNORE_SECTION() names {}, which is no section",
    ),
    rule(
        ": expected function symbol",
        FailureClass::NotPatchable,
        "KPATCH_IGNORE_FUNCTION() names what is no function",
    ),
    // Keys of loadable modules: static_key and static_call.
    rule(
        "Found a jump label at {}, using key ",
        FailureClass::JumpLabelUnsupported,
        "the changed code at {} branches on a static key that a livepatch cannot use",
    ),
    rule(
        "Found a static call at {}, using key ",
        FailureClass::StaticCallUnsupported,
        "the changed code at {} makes a static call that a livepatch cannot use",
    ),
    // Symbol tables: create-diff-object's lookup.c and its callers.
    rule(
        "can't find local symbol '{}' in symbol table",
        FailureClass::SymbolNotFound,
        "the kernel has no symbol {}, which the changed code uses",
    ),
    rule(
        "can't find symbol '{}' in symbol table",
        FailureClass::SymbolNotFound,
        "the kernel has no symbol {}, which the changed code uses",
    ),
    rule(
        "couldn't find matching {} local symbols in ",
        FailureClass::SymbolNotFound,
        "the kernel has not the local symbols of {} as they were compiled here",
    ),
    rule(
        "found duplicate matches for {} local symbols in ",
        FailureClass::SymbolAmbiguous,
        "the kernel has the local symbols of {} more than once",
    ),
    rule(
        "duplicate local symbol found for {}",
        FailureClass::SymbolAmbiguous,
        "the kernel has several local symbols {}",
    ),
    rule(
        "duplicate global symbol found for {}",
        FailureClass::SymbolAmbiguous,
        "the kernel has several global symbols {}",
    ),
    rule(
        "duplicate exported symbol found for {}",
        FailureClass::SymbolAmbiguous,
        "the symbol {} is exported more than once",
    ),
    // Relocations.
    rule(
        "unsupported klp relocation reference to symbol '{}' in module-specific special section ",
        FailureClass::RelocationUnsupported,
        "a special section refers to {}, which is in a loadable module,",
    ),
    // From Linux 7.x on, WARN() with a message hands the trap its entry of the bug table by address.
    // create-diff-object gives every reference of an object a symbol before it compares any
    // function, so that one such WARN() anywhere in the file is enough.
    rule(
        ": can't find replacement symbol for __bug_table{} reference",
        FailureClass::RelocationUnsupported,
        "a WARN() with a message (__bug_table{}), which kpatch cannot follow on this kernel, is",
    ),
    rule(
        ": can't find replacement symbol for {} reference",
        FailureClass::RelocationUnsupported,
        "the changed code refers to {}, where no symbol is",
    ),
    rule(
        ": out-of-range relocation {}",
        FailureClass::RelocationUnsupported,
        "the changed code refers to {}, outside its section",
    ),
    // objtool klp diff.
    rule(
        "error: objtool: changed data: {}",
        FailureClass::DataChanged,
        "the data {} changes, which the running kernel already holds",
    ),
    rule(
        "error: objtool: {}: can't patch or reference init code/data",
        FailureClass::InitCode,
        "{} is __init code or data, which is gone after boot",
    ),
    rule(
        ": unsupported static branch key {}.  Use ",
        FailureClass::JumpLabelUnsupported,
        "the changed code branches on the static key {}, which a livepatch cannot use",
    ),
    rule(
        ": unsupported static call key {}.  Use ",
        FailureClass::StaticCallUnsupported,
        "the changed code makes a static call by {}, which a livepatch cannot use",
    ),
    rule(
        ": new reference to {} would create an undeclared module dependency",
        FailureClass::ModuleDependency,
        "the changed code begins to use {}, of a module that the patched one does not depend on,",
    ),
    rule(
        "error: objtool: can't find symbol {} in orig vmlinux",
        FailureClass::SymbolNotFound,
        "the kernel has no symbol {}, which the changed code uses",
    ),
    rule(
        "error: objtool: can't find sympos for {}",
        FailureClass::SymbolAmbiguous,
        "the kernel has several symbols {}",
    ),
    rule(
        "error: objtool: unexpected klp reloc for new symbol {}",
        FailureClass::RelocationUnsupported,
        "the changed code refers to {} in a way that is not understood",
    ),
    rule(
        "error: objtool: no clone for {}",
        FailureClass::RelocationUnsupported,
        "the changed code refers to {} in a way that is not understood",
    ),
    // modpost, when the module is linked. Code of vmlinux uses its namespaces without importing them;
    // moved into a module it may not. What a loadable module imports, kpatch keeps.
    rule(
        " uses symbol {} from namespace ",
        FailureClass::NamespaceNotImported,
        "the changed code uses {}, and its namespace is not imported",
    ),
    rule(
        "ERROR: modpost: \"{}\" [",
        FailureClass::SymbolNotFound,
        "neither the kernel nor the patch has {}, which the changed code uses,",
    ),
];

/// What a change of the section with this name means.
pub(super) fn section_class(name: &str) -> (FailureClass, &'static str) {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if begins(&[
        ".init.",
        ".exit.",
        ".meminit.",
        ".memexit.",
        ".initcall",
        ".exitcall",
        ".con_init",
    ]) {
        (FailureClass::InitCode, "code or data marked __init or __exit changes (section {})")
    } else if begins(&["runtime_"]) {
        (
            FailureClass::RuntimeConstant,
            "the changed code holds a constant that the kernel writes into its own code when it \
             boots and into no livepatch (section {})",
        )
    } else if begins(&[".data", ".bss", ".rodata", ".sdata", "__param", ".ldata"]) {
        (
            FailureClass::DataChanged,
            "data changes that the running kernel already holds (section {})",
        )
    } else if begins(&[".noinstr.text", ".entry.text", ".notrace.text"]) {
        (
            FailureClass::FunctionNotTraceable,
            "code changes that the kernel cannot redirect (section {})",
        )
    } else {
        (
            FailureClass::SectionUnsupported,
            "a section changes that cannot be live-patched (section {})",
        )
    }
}

/// Whether a line is create-diff-object's verdict on the patch (exit code 2, by DIFF_FATAL() of its
/// source). All else that it, create-klp-module and objtool stop with, and for which there is no rule,
/// is a complaint about what they were given: objects and tables that they cannot read, lack of memory.
pub(super) fn is_verdict(line: &str) -> bool {
    line.ends_with(": unreconcilable difference")
}
