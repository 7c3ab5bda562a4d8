use std::collections::HashMap;

use object::{
    SectionIndex, SymbolIndex,
    elf::{SHF_ALLOC, SHT_NOBITS, SHT_RELA},
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use super::{
    field::Field,
    image::{Lead, Place},
    symbols::{ImageSymbol, ImageSymbols},
};
use crate::{ElfError, SymbolBinding, SymbolKind, budget::Budget, object_file::ObjectFile, symbol};

/// The code of a module as it is loaded: its own relocations say what its fields lead to.
#[derive(Debug)]
pub struct ModuleCode<'data> {
    pub(super) symbols: ImageSymbols,
    sections: Vec<&'data [u8]>,
    fields: HashMap<Place, FieldTarget<'data>>,
    /// The places of the fields, in order.
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
struct FieldTarget<'data> {
    field: Option<Field>,
    addend: i64,
    /// Where the symbol is, or what it is called.
    symbol: Result<Place, &'data [u8]>,
}

const PART: &str = "the symbols and relocations of the module";

impl<'data> ModuleCode<'data> {
    /// Reads a module.
    ///
    /// # Errors
    /// When the bytes are not an ELF file for x86-64, or contradict themselves.
    pub fn read(bytes: &'data [u8]) -> Result<Self, ElfError> {
        let object = ObjectFile::parse(bytes, "the module")?;
        let mut budget = Budget::new(bytes.len());
        let endian = object.elf.endian();
        let mut sections = Vec::new();
        for header in object.elf.elf_section_table().iter() {
            let has_content = header.sh_flags(endian).0 & SHF_ALLOC.0 != 0
                && header.sh_type(endian) != SHT_NOBITS;
            sections.push(if has_content { object.data(header, PART)? } else { &[] });
        }
        let symbols = read_symbols(&object, &mut budget)?;
        let fields = read_fields(&object, &mut budget)?;
        let mut places: Vec<Place> = fields.keys().copied().collect();
        places.sort_unstable();
        Ok(Self { symbols, sections, fields, places })
    }

    pub(super) fn bytes(&self, place: Place, count: u64) -> Option<&[u8]> {
        let start = usize::try_from(place.at).ok()?;
        let end = start.checked_add(usize::try_from(count).ok()?)?;
        self.sections.get(place.section)?.get(start..end)
    }

    pub(super) fn bytes_from(&self, place: Place, at_most: usize) -> &[u8] {
        let section = self.sections.get(place.section).copied().unwrap_or_default();
        let bytes = usize::try_from(place.at).ok().and_then(|at| section.get(at..));
        let bytes = bytes.unwrap_or_default();
        &bytes[..bytes.len().min(at_most)]
    }

    pub(super) fn lead(&self, place: Place, field: Field, addend: i64) -> Lead<'_> {
        match self.fields.get(&place) {
            Some(target) if target.field == Some(field) => match target.symbol {
                // What is not here has only a name, and the distance from it must be the same.
                Err(name) if target.addend == addend => Lead::Outside(name),
                Err(_) => Lead::Nowhere,
                Ok(symbol) => {
                    let behind = target.addend.wrapping_sub(addend);
                    Lead::To(symbol.plus(behind.cast_unsigned()))
                }
            },
            _ => Lead::Nowhere,
        }
    }

    /// The offsets of the fields in a number of bytes from a place.
    pub(super) fn fields_in(&self, place: Place, count: u64) -> impl Iterator<Item = u64> {
        let from = self.places.partition_point(|one| *one < place);
        let offset = move |one: &Place| one.at.wrapping_sub(place.at);
        let is_in = move |one: &&Place| one.section == place.section && offset(one) < count;
        self.places[from..].iter().take_while(is_in).map(offset)
    }
}

fn read_symbols(object: &ObjectFile<'_>, budget: &mut Budget) -> Result<ImageSymbols, ElfError> {
    let endian = object.elf.endian();
    let table = object.elf.elf_symbol_table();
    let failed = |source| ElfError::Part { part: PART, source };
    let mut symbols = ImageSymbols::default();
    for (index, entry) in table.enumerate().skip(1) {
        let name = budget.take_text(entry.name(endian, table.strings()).map_err(failed)?)?;
        let (kind, binding) = (symbol::kind(entry), symbol::binding(entry));
        if kind == SymbolKind::File {
            symbols.add_file(&name);
            continue;
        }
        let Some(section) = table.symbol_section(endian, entry, index).map_err(failed)? else {
            continue;
        };
        if kind == SymbolKind::Section || name.is_empty() {
            continue;
        }
        let is_local = binding == SymbolBinding::Local;
        let file = symbols.files().checked_sub(1).filter(|_| is_local);
        let place = Place { section: section.0, at: entry.st_value(endian) };
        let (size, file) = (entry.st_size(endian), file.and_then(|file| file.try_into().ok()));
        symbols.add(&name, ImageSymbol { place, size, kind, binding, file });
    }
    Ok(symbols)
}

fn read_fields<'data>(
    object: &ObjectFile<'data>,
    budget: &mut Budget,
) -> Result<HashMap<Place, FieldTarget<'data>>, ElfError> {
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: PART, source };
    let table = object.elf.elf_symbol_table();
    let sections = object.elf.elf_section_table();
    let mut fields = HashMap::new();
    for header in sections.iter().filter(|header| header.sh_type(endian) == SHT_RELA) {
        let place = header.info_link(endian);
        let Ok(place_header) = sections.section(place) else { continue };
        let is_code = place_header.sh_flags(endian).0 & object::elf::SHF_EXECINSTR.0 != 0;
        if !is_code {
            continue;
        }
        let rela = header.rela(endian, object.elf.data()).map_err(failed)?;
        let entries = rela.map_or(&[][..], |(entries, _)| entries);
        budget.take_relocations(entries.len())?;
        for entry in entries {
            let index = SymbolIndex(entry.r_sym(endian, false) as usize);
            let symbol = table.symbol(index).map_err(failed)?;
            let section = table.symbol_section(endian, symbol, index).map_err(failed)?;
            let symbol = match section {
                Some(SectionIndex(section)) => Ok(Place { section, at: symbol.st_value(endian) }),
                None => Err(symbol.name(endian, table.strings()).map_err(failed)?),
            };
            let at = Place { section: place.0, at: entry.r_offset(endian) };
            let field = Field::of(entry.r_type(endian, false).0);
            // A mere note may stand where a field is, too.
            if field == Some(Field::Nothing) {
                continue;
            }
            fields.insert(at, FieldTarget { field, addend: entry.r_addend(endian), symbol });
        }
    }
    Ok(fields)
}
