//! The functions that a module made by kpatch replaces.
//!
//! create-diff-object writes an array of `struct kpatch_patch_func` (kmod/patch/kpatch-patch.h of
//! kpatch 0.9) into the section `.kpatch.funcs`, and create-klp-module leaves it there: the
//! module's init code makes the kernel's own structures from it when it is loaded. In the file the
//! pointers are still relocations; the names they lead to are in `.kpatch.strings`.

use std::collections::HashMap;

use object::{
    SymbolIndex,
    elf::{R_X86_64_64, SHT_RELA},
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{ElfError, budget::Budget, object_file::ObjectFile};

const PART: &str = "section .kpatch.funcs";

/// `sizeof(struct kpatch_patch_func)`: five `unsigned long` and two pointers.
const ENTRY_BYTES: usize = 56;
const SYMBOL_POSITION_AT: usize = 32;
const NAME_AT: u64 = 40;
const OBJECT_NAME_AT: u64 = 48;

/// The longest name of a function or a module, in bytes: `KSYM_NAME_LEN` since Linux 6.1.
const NAME_BYTES: usize = 512;

/// A function that a livepatch replaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplacedFunction {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// The function's name.
    pub name: String,
    /// Which of several functions of that name, from 1; 0 or 1 when there is only one.
    pub position: u64,
}

/// The functions in the order of the section; empty for a module that kpatch did not make.
pub(crate) fn replaced_functions(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<Vec<ReplacedFunction>, ElfError> {
    let Some((index, header)) = object.header(".kpatch.funcs") else { return Ok(Vec::new()) };
    let data = object.data(header, PART)?;
    let entries = data.chunks_exact(ENTRY_BYTES);
    if !entries.remainder().is_empty() {
        return Err(malformed(format!("{} bytes are no whole entries", data.len())));
    }
    let pointers = pointers(object, index, budget)?;
    let mut text_at = |offset: u64| -> Result<String, ElfError> {
        let text = pointers.get(&offset).copied();
        let text = text.ok_or_else(|| malformed(format!("no name at offset {offset}")))?;
        budget.take_text(pointed_text(object, text)?)
    };
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

/// Where a pointer leads: a symbol and an addend.
type Pointer = (SymbolIndex, i64);

/// The pointers in a section, by their offset there.
fn pointers(
    object: &ObjectFile<'_>,
    section: object::SectionIndex,
    budget: &mut Budget,
) -> Result<HashMap<u64, Pointer>, ElfError> {
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: PART, source };
    let mut pointers = HashMap::new();
    for header in object.elf.elf_section_table().iter() {
        let applies = header.sh_type(endian) == SHT_RELA && header.info_link(endian) == section;
        // Livepatch relocations may apply to the same section, and have names of their own.
        if !applies || object.section_name(header) != Some(b".rela.kpatch.funcs") {
            continue;
        }
        let rela = header.rela(endian, object.elf.data()).map_err(failed)?;
        let relocations = rela.map_or(&[][..], |(relocations, _)| relocations);
        budget.take_relocations(relocations.len())?;
        for relocation in relocations {
            if relocation.r_type(endian, false) == R_X86_64_64 {
                let symbol = SymbolIndex(relocation.r_sym(endian, false) as usize);
                let pointer = (symbol, relocation.r_addend(endian));
                pointers.insert(relocation.r_offset(endian), pointer);
            }
        }
    }
    Ok(pointers)
}

/// The text that a pointer leads to, without its end.
fn pointed_text<'data>(
    object: &ObjectFile<'data>,
    (symbol, addend): Pointer,
) -> Result<&'data [u8], ElfError> {
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: PART, source };
    let table = object.elf.elf_symbol_table();
    let entry = table.symbol(symbol).map_err(failed)?;
    let section = table.symbol_section(endian, entry, symbol).map_err(failed)?;
    let section = section.ok_or_else(|| malformed("a name in no section".to_owned()))?;
    let header = object.elf.elf_section_table().section(section).map_err(failed)?;
    let data = object.data(header, PART)?;
    let start = entry.st_value(endian).checked_add_signed(addend);
    let start = start.and_then(|start| usize::try_from(start).ok());
    let text = start.and_then(|start| data.get(start..)).unwrap_or_default();
    let text = &text[..text.len().min(NAME_BYTES)];
    match text.iter().position(|byte| *byte == 0) {
        Some(end) if end > 0 => Ok(&text[..end]),
        _ => Err(malformed("a name is empty or does not end".to_owned())),
    }
}

fn malformed(problem: String) -> ElfError {
    ElfError::Malformed { part: PART, problem }
}
