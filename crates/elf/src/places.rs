use std::collections::BTreeMap;

use object::{SectionIndex, SymbolIndex, elf::SymbolType, read::elf::Sym as _};

use crate::{ElfError, object_file::ObjectFile};

/// The symbols of some types by their places in the sections of a file.
pub(crate) struct Places {
    by_start: BTreeMap<(usize, u64), Place>,
}

/// The place of a symbol in its section.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) symbol: SymbolIndex,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Places {
    /// Reads those of the types; `part` names the symbol table in errors.
    pub(crate) fn read(
        object: &ObjectFile<'_>,
        types: &[SymbolType],
        part: &'static str,
    ) -> Result<Self, ElfError> {
        let endian = object.elf.endian();
        let table = object.elf.elf_symbol_table();
        let mut by_start = BTreeMap::new();
        for (index, symbol) in table.enumerate() {
            if !types.contains(&symbol.st_type()) {
                continue;
            }
            let section = table.symbol_section(endian, symbol, index);
            let section = section.map_err(|source| ElfError::Part { part, source })?;
            let Some(section) = section else { continue };
            let start = symbol.st_value(endian);
            let end = start.saturating_add(symbol.st_size(endian));
            by_start.insert((section.0, start), Place { symbol: index, start, end });
        }
        Ok(Self { by_start })
    }

    /// The symbol that begins at a place of a section, or that the place is in.
    pub(crate) fn around(&self, section: SectionIndex, at: u64) -> Option<Place> {
        let before = self.by_start.range((section.0, 0)..=(section.0, at));
        let (_, place) = before.last()?;
        (place.start == at || at < place.end).then_some(*place)
    }
}
