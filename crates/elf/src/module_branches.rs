//! The functions of a loadable module that must not be branched to indirectly.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    elf::{STT_FILE, STT_FUNC, STT_SECTION},
    read::elf::Sym as _,
};

use crate::{
    ElfError,
    branch_targets::{ENDBR64, SEAL_SECTION},
    budget::Budget,
    object_file::ObjectFile,
    relocation_targets::relocation_targets,
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
    // The places at which the kernel takes ENDBR away when it loads the module (`module_finalize` in
    // arch/x86/kernel/module.c).
    let sealed = relocation_targets(&object, SEAL_SECTION, SEAL_SECTION, &mut budget)?;
    let sealed: BTreeSet<(usize, u64)> = sealed.into_values().collect();
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
