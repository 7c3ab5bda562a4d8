use std::collections::BTreeSet;

use object::{
    Endianness, SectionIndex,
    elf::{R_X86_64_NONE, R_X86_64_PC32, R_X86_64_PLT32, Rela64, SHF_EXECINSTR, SHT_RELA},
    pod::bytes_of,
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{
    ElfError,
    budget::Budget,
    object_file::{ObjectFile, SectionHeader},
};

const PART: &str = "the calls of __fentry__";

/// What ftrace puts into the places that it looks after (`ftrace_nop_replace` in
/// arch/x86/kernel/ftrace.c: `x86_nops[5]`), and objtool into those that it is to empty.
const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// The first byte of the instruction that calls a function nearby.
const CALL: u8 = 0xe8;

/// A place in the file that is to hold other bytes.
struct Change {
    at: usize,
    bytes: Vec<u8>,
}

/// A module whose functions begin with a NOP where they called `__fentry__`, as objtool leaves code
/// with `--mnop`: the call goes, and its relocation becomes one that does nothing. Other bytes are as
/// they were.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or refer to `__fentry__` from code otherwise than
/// by a call.
pub fn with_fentry_nops(mut bytes: Vec<u8>) -> Result<Vec<u8>, ElfError> {
    for Change { at, bytes: new } in changes(&bytes)? {
        // Both were found in sections of this file.
        bytes[at..at + new.len()].copy_from_slice(&new);
    }
    Ok(bytes)
}

fn changes(bytes: &[u8]) -> Result<Vec<Change>, ElfError> {
    let object = ObjectFile::parse(bytes, "the module")?;
    let failed = |source| ElfError::Part { part: PART, source };
    let endian = object.elf.endian();
    let mut budget = Budget::new(bytes.len());
    let fentry = fentry_symbols(&object, &mut budget)?;
    let mut changes = Vec::new();
    for header in object.elf.elf_section_table().iter() {
        if header.sh_type(endian) != SHT_RELA {
            continue;
        }
        let index = header.info_link(endian);
        let Some(code) = code_section(&object, index)? else { continue };
        let entries = header.rela(endian, bytes).map_err(failed)?;
        let entries = entries.map_or(&[][..], |(entries, _)| entries);
        budget.take_relocations(entries.len())?;
        for (number, entry) in entries.iter().enumerate() {
            let symbol = entry.r_sym(endian, false) as usize;
            if entry.r_type(endian, false) == R_X86_64_NONE || !fentry.contains(&symbol) {
                continue;
            }
            changes.push(nop(&object, code, entry)?);
            let mut nothing = *entry;
            nothing.set_r_info(endian, false, entry.r_sym(endian, false), R_X86_64_NONE);
            // It was read from there.
            let at = header.sh_offset(endian) as usize + number * size_of::<Rela64<Endianness>>();
            changes.push(Change { at, bytes: bytes_of(&nothing).to_vec() });
        }
    }
    Ok(changes)
}

/// The section when it holds code.
fn code_section<'data>(
    object: &ObjectFile<'data>,
    index: SectionIndex,
) -> Result<Option<&'data SectionHeader>, ElfError> {
    // Relocations of a linked file belong to none.
    if index.0 == 0 {
        return Ok(None);
    }
    let section = object.elf.elf_section_table().section(index);
    let section = section.map_err(|source| ElfError::Part { part: PART, source })?;
    Ok(section.sh_flags(object.elf.endian()).contains(SHF_EXECINSTR).then_some(section))
}

/// The numbers of the symbols of that name; the module has one.
fn fentry_symbols(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<BTreeSet<usize>, ElfError> {
    let failed = |source| ElfError::Part { part: PART, source };
    let endian = object.elf.endian();
    let table = object.elf.elf_symbol_table();
    let mut found = BTreeSet::new();
    for (index, symbol) in table.enumerate() {
        let name = symbol.name(endian, table.strings()).map_err(failed)?;
        budget.take_name(name)?;
        if name == b"__fentry__" {
            found.insert(index.0);
        }
    }
    Ok(found)
}

/// The NOP for the call whose relocation it is.
fn nop(
    object: &ObjectFile<'_>,
    code: &SectionHeader,
    entry: &Rela64<Endianness>,
) -> Result<Change, ElfError> {
    let endian = object.elf.endian();
    let offset = entry.r_offset(endian);
    let name = object.section_name(code).unwrap_or_default();
    let other = || ElfError::Malformed {
        part: PART,
        problem: format!("{}+{offset:#x} is none", String::from_utf8_lossy(name)),
    };
    if ![R_X86_64_PC32, R_X86_64_PLT32].contains(&entry.r_type(endian, false)) {
        return Err(other());
    }
    let data = object.data(code, PART)?;
    let start = usize::try_from(offset).ok().and_then(|offset| offset.checked_sub(1));
    let start = start.ok_or_else(other)?;
    let call = data.get(start..).and_then(|rest| rest.get(..NOP.len())).ok_or_else(other)?;
    if call[0] != CALL {
        return Err(other());
    }
    Ok(Change { at: code.sh_offset(endian) as usize + start, bytes: NOP.to_vec() })
}
