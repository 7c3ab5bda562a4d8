//! The functions that a module made by kpatch replaces.
//!
//! create-diff-object writes an array of `struct kpatch_patch_func` (kmod/patch/kpatch-patch.h of
//! kpatch 0.9) into the section `.kpatch.funcs`, and create-klp-module leaves it there: the
//! module's init code makes the kernel's own structures from it when it is loaded. In the file the
//! pointers are still relocations; the names they lead to are in `.kpatch.strings`.

use crate::{
    ElfError, ReplacedFunction, budget::Budget, object_file::ObjectFile, pointers::Pointers,
};

const PART: &str = "section .kpatch.funcs";

/// `sizeof(struct kpatch_patch_func)`: five `unsigned long` and two pointers.
const ENTRY_BYTES: usize = 56;
const SYMBOL_POSITION_AT: usize = 32;
const NAME_AT: u64 = 40;
const OBJECT_NAME_AT: u64 = 48;

/// The functions in the order of the section; empty for a module that kpatch did not make.
pub(crate) fn kpatch_functions(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<Vec<ReplacedFunction>, ElfError> {
    let Some((index, header)) = object.header(".kpatch.funcs") else { return Ok(Vec::new()) };
    let data = object.data(header, PART)?;
    let pointers = Pointers::read(object, index, ".rela.kpatch.funcs", PART, budget)?;
    let entries = data.chunks_exact(ENTRY_BYTES);
    if !entries.remainder().is_empty() {
        return Err(pointers.malformed(format!("{} bytes are no whole entries", data.len())));
    }
    let mut text_at = |offset| budget.take_text(pointers.some_text(offset)?);
    (0..)
        .step_by(ENTRY_BYTES)
        .zip(entries)
        .map(|(start, entry)| {
            let position = entry[SYMBOL_POSITION_AT..].first_chunk::<8>();
            Ok(ReplacedFunction {
                object: text_at(start + OBJECT_NAME_AT)?,
                name: text_at(start + NAME_AT)?,
                position: position.map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            })
        })
        .collect()
}
