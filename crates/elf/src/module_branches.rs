//! The functions of a loadable module that must not be branched to indirectly.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    SymbolIndex,
    elf::{SHT_RELA, STT_FILE, STT_FUNC, STT_SECTION},
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{
    ElfError,
    branch_targets::{ENDBR64, SEAL_SECTION},
    budget::Budget,
    object_file::ObjectFile,
};

const PART: &str = "the code of the module";

/// Names of the functions of a module that do not begin with ENDBR64 once it is loaded, with their
/// positions among all symbols of the name, from 1, in the order of the symbol table: so livepatch
/// counts in modules (`klp_find_callback` in kernel/livepatch/core.c).
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or a symbol or relocation is malformed.
pub fn module_functions_without_endbr(bytes: &[u8]) -> Result<BTreeSet<(String, u64)>, ElfError> {
    let object = ObjectFile::parse(bytes, "the module")?;
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: PART, source };
    let mut budget = Budget::new(bytes.len());
    let sealed = sealed(&object, &mut budget)?;
    let table = object.elf.elf_symbol_table();
    let mut positions: BTreeMap<&[u8], u64> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (index, symbol) in table.enumerate() {
        let kind = symbol.st_type();
        let section = table.symbol_section(endian, symbol, index).map_err(failed)?;
        let Some(section) = section.filter(|_| kind != STT_FILE && kind != STT_SECTION) else {
            continue;
        };
        let name = symbol.name(endian, table.strings()).map_err(failed)?;
        if name.is_empty() {
            continue;
        }
        let position = positions.entry(name).or_default();
        *position += 1;
        if kind != STT_FUNC {
            continue;
        }
        let start = symbol.st_value(endian);
        let header = object.elf.elf_section_table().section(section).map_err(failed)?;
        let code = usize::try_from(start).ok();
        let code = code.and_then(|start| object.data(header, PART).ok()?.get(start..));
        let has_endbr = code.is_some_and(|code| code.starts_with(&ENDBR64));
        if !has_endbr || sealed.contains(&(section.0, start)) {
            found.insert((budget.take_text(name)?, *position));
        }
    }
    Ok(found)
}

/// The places at which the kernel takes ENDBR away when it loads the module (`module_finalize` in
/// arch/x86/kernel/module.c).
fn sealed(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<BTreeSet<(usize, u64)>, ElfError> {
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: SEAL_SECTION, source };
    let mut sealed = BTreeSet::new();
    let Some((list, _)) = object.header(SEAL_SECTION) else { return Ok(sealed) };
    let table = object.elf.elf_symbol_table();
    for header in object.elf.elf_section_table().iter() {
        if header.sh_type(endian) != SHT_RELA || header.info_link(endian) != list {
            continue;
        }
        let rela = header.rela(endian, object.elf.data()).map_err(failed)?;
        let entries = rela.map_or(&[][..], |(entries, _)| entries);
        budget.take_relocations(entries.len())?;
        for entry in entries {
            let index = SymbolIndex(entry.r_sym(endian, false) as usize);
            let symbol = table.symbol(index).map_err(failed)?;
            if let Some(section) = table.symbol_section(endian, symbol, index).map_err(failed)? {
                let at = symbol.st_value(endian).wrapping_add_signed(entry.r_addend(endian));
                sealed.insert((section.0, at));
            }
        }
    }
    Ok(sealed)
}
