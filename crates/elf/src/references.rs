//! What sections refer to: whatever a section lists (places to patch, functions to call), its
//! relocations say which.

use object::{
    SymbolIndex,
    elf::{R_X86_64_NONE, SHF_EXECINSTR, SHT_RELA, STT_FUNC, STT_OBJECT},
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{ElfError, budget::Budget, object_file::ObjectFile, places::Places};

const PART: &str = "a relocation";

/// A relocation by names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The section that it is in.
    pub from: String,
    /// The function that the relocated place is in; `None` in data.
    pub from_function: Option<String>,
    /// The function or variable that it leads to or into; a section where no symbol is.
    pub to: String,
}

/// The relocations of the sections whose names `is_wanted` takes, in the order of the file. With
/// debug information an object has far more relocations in sections that nobody asks for.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or a relocation or symbol is malformed.
pub fn references(
    bytes: &[u8],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Reference>, ElfError> {
    let object = ObjectFile::parse(bytes, "the object")?;
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: PART, source };
    let places = Places::read(&object, &[STT_FUNC, STT_OBJECT], PART)?;
    let table = object.elf.elf_symbol_table();
    let symbol_name = |symbol: SymbolIndex| {
        let entry = table.symbol(symbol).map_err(failed)?;
        entry.name(endian, table.strings()).map_err(failed)
    };
    let mut budget = Budget::new(bytes.len());
    let mut references = Vec::new();
    let sections = object.elf.elf_section_table();
    for header in sections.iter().filter(|header| header.sh_type(endian) == SHT_RELA) {
        let place = header.info_link(endian);
        let Ok(place_header) = sections.section(place) else { continue };
        let name = object.section_name(place_header).unwrap_or_default();
        let Ok(from) = std::str::from_utf8(name) else { continue };
        if !is_wanted(from) {
            continue;
        }
        let is_code = place_header.sh_flags(endian).contains(SHF_EXECINSTR);
        let rela = header.rela(endian, object.elf.data()).map_err(failed)?;
        let entries = rela.map_or(&[][..], |(entries, _)| entries);
        budget.take_relocations(entries.len())?;
        for entry in entries {
            let index = SymbolIndex(entry.r_sym(endian, false) as usize);
            let is_none = entry.r_type(endian, false) == R_X86_64_NONE;
            // objtool takes a call to __fentry__ away and leaves its relocation without a type.
            if index.0 == 0 || (is_none && !is_code) {
                continue;
            }
            let symbol = table.symbol(index).map_err(failed)?;
            let target = match table.symbol_section(endian, symbol, index).map_err(failed)? {
                None => symbol_name(index)?,
                Some(section) => {
                    let at = symbol.st_value(endian).wrapping_add_signed(entry.r_addend(endian));
                    match places.around(section, at) {
                        Some(place) => symbol_name(place.symbol)?,
                        None => {
                            let header = sections.section(section).map_err(failed)?;
                            object.section_name(header).unwrap_or_default()
                        }
                    }
                }
            };
            let around = places.around(place, entry.r_offset(endian)).filter(|_| is_code);
            let from_function = match around {
                Some(place) => Some(budget.take_text(symbol_name(place.symbol)?)?),
                None => None,
            };
            let (from, to) = (budget.take_text(name)?, budget.take_text(target)?);
            references.push(Reference { from, from_function, to });
        }
    }
    Ok(references)
}
