//! The functions that a module made by kpatch replaces.
//!
//! create-diff-object writes an array of `struct kpatch_patch_func` (kmod/patch/kpatch-patch.h of
//! kpatch 0.9) into the section `.kpatch.funcs`, and create-klp-module leaves it there: the
//! module's init code makes the kernel's own structures from it when it is loaded. In the file the
//! pointers are still relocations; the names they lead to are in `.kpatch.strings`.

use crate::{
    ElfError, ReplacedFunction,
    budget::Budget,
    kpatch_entries::{Entry, Form, entries},
    object_file::ObjectFile,
};

/// `struct kpatch_patch_func`: five `unsigned long` and two pointers.
const FORM: Form = Form {
    part: "section .kpatch.funcs",
    section: ".kpatch.funcs",
    relocations: ".rela.kpatch.funcs",
    entry_bytes: 56,
    position_at: 32,
    name_at: 40,
    object_name_at: 48,
};

/// The functions in the order of the section; empty for a module that kpatch did not make.
pub(crate) fn kpatch_functions(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<Vec<ReplacedFunction>, ElfError> {
    let function = |Entry { object, name, position }| ReplacedFunction { object, name, position };
    Ok(entries(object, &FORM, budget)?.into_iter().map(function).collect())
}
