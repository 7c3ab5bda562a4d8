use std::collections::BTreeMap;

use object::{elf::STT_FUNC, read::elf::Sym as _};

use crate::{ElfError, budget::Budget, object_file::ObjectFile};

/// The functions that an object defines, each with the section that it is in.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or the symbol table cannot be read.
pub fn defined_functions(bytes: &[u8]) -> Result<BTreeMap<String, String>, ElfError> {
    let object = ObjectFile::parse(bytes, "the object")?;
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: "the symbol table", source };
    let mut budget = Budget::new(bytes.len());
    let table = object.elf.elf_symbol_table();
    let mut functions = BTreeMap::new();
    for (index, symbol) in table.enumerate() {
        if symbol.st_type() != STT_FUNC {
            continue;
        }
        let section = table.symbol_section(endian, symbol, index).map_err(failed)?;
        let Some(section) = section else { continue };
        let header = object.elf.elf_section_table().section(section).map_err(failed)?;
        let section = budget.take_text(object.section_name(header).unwrap_or_default())?;
        let name = budget.take_text(symbol.name(endian, table.strings()).map_err(failed)?)?;
        functions.insert(name, section);
    }
    Ok(functions)
}
