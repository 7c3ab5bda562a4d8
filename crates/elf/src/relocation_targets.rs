use std::collections::BTreeMap;

use object::{
    SymbolIndex,
    elf::SHT_RELA,
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{ElfError, budget::Budget, object_file::ObjectFile};

/// Where the relocations of a section lead, by their places in it: a section's number and a place
/// there. Those to symbols of no section are left out; a file without the section has none. `part`
/// names the section in errors; the number of relocations is taken from `budget`.
pub(crate) fn relocation_targets(
    object: &ObjectFile<'_>,
    section: &str,
    part: &'static str,
    budget: &mut Budget,
) -> Result<BTreeMap<u64, (usize, u64)>, ElfError> {
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part, source };
    let mut targets = BTreeMap::new();
    let Some((relocated, _)) = object.header(section) else { return Ok(targets) };
    let table = object.elf.elf_symbol_table();
    for header in object.elf.elf_section_table().iter() {
        if header.sh_type(endian) != SHT_RELA || header.info_link(endian) != relocated {
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
                targets.insert(entry.r_offset(endian), (section.0, at));
            }
        }
    }
    Ok(targets)
}
