use std::collections::HashSet;

use object::{
    SectionIndex, SymbolIndex,
    elf::{
        SHF_ALLOC, SHF_EXECINSTR, SHF_MERGE, SHF_STRINGS, SHN_LORESERVE, SHN_UNDEF, SHT_NOBITS,
        SHT_RELA,
    },
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{ElfError, SymbolBinding, SymbolKind, budget::Budget, object_file::ObjectFile, symbol};

/// What a compiler left for one file, as far as it is compared with an image.
#[derive(Debug)]
pub struct CompiledCode<'data> {
    pub(super) symbols: Vec<ObjectSymbol<'data>>,
    pub(super) sections: Vec<ObjectSection<'data>>,
    /// The name before the local symbols: that of the source file, without directories.
    pub(super) file: Option<&'data str>,
    /// The object's size, in bytes: what the work is measured by.
    pub(super) size: usize,
    compiler: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ObjectSymbol<'data> {
    pub name: &'data str,
    pub value: u64,
    pub size: u64,
    pub kind: SymbolKind,
    pub binding: SymbolBinding,
    pub home: Home,
}

/// Where a symbol of an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// In this section of the object.
    Section(usize),
    /// In another object.
    Elsewhere,
    /// Nowhere: it is a mere number, or the linker finds a place.
    Unplaced,
}

#[derive(Debug, Default)]
pub(super) struct ObjectSection<'data> {
    pub name: &'data str,
    pub is_code: bool,
    /// The size of the entries of a section that the linker merges with others; 0 for others.
    pub merged_entry_bytes: u64,
    pub holds_strings: bool,
    pub data: &'data [u8],
    /// Those of code, by offset.
    pub relocations: Vec<Relocation>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Relocation {
    pub offset: u64,
    pub kind: u32,
    pub symbol: usize,
    pub addend: i64,
}

const PART: &str = "the symbols and relocations of the object";

impl<'data> CompiledCode<'data> {
    /// Reads an object.
    ///
    /// # Errors
    /// When the bytes are not an ELF file for x86-64, or contradict themselves.
    pub fn read(bytes: &'data [u8]) -> Result<Self, ElfError> {
        let object = ObjectFile::parse(bytes, "the object")?;
        let mut budget = Budget::new(bytes.len());
        let mut sections = read_sections(&object)?;
        read_relocations(&object, &mut sections, &mut budget)?;
        let (symbols, file) = read_symbols(&object, &mut budget, sections.len())?;
        let compiler = object.section(".comment")?.and_then(first_text);
        Ok(Self { symbols, sections, file, size: bytes.len(), compiler })
    }

    /// What the compiler says of itself (`GCC: (Debian 12.2.0-14+deb12u1) 12.2.0`).
    pub fn compiler(&self) -> Option<&str> {
        self.compiler.as_deref()
    }

    /// Adds the names that the object has in common with an image.
    pub fn add_names(&self, names: &mut HashSet<&'data str>) {
        let named = self.symbols.iter().filter(|symbol| symbol.kind != SymbolKind::Section);
        names.extend(named.map(|symbol| symbol.name).filter(|name| !name.is_empty()));
    }
}

fn read_sections<'data>(object: &ObjectFile<'data>) -> Result<Vec<ObjectSection<'data>>, ElfError> {
    let endian = object.elf.endian();
    let section = |header: &'data crate::object_file::SectionHeader| {
        let flags = header.sh_flags(endian).0;
        let has_content = header.sh_type(endian) != SHT_NOBITS;
        let is_allocated = flags & SHF_ALLOC.0 != 0;
        let merged = flags & SHF_MERGE.0 != 0;
        let name = object.section_name(header).and_then(|name| std::str::from_utf8(name).ok());
        Ok(ObjectSection {
            name: name.unwrap_or_default(),
            is_code: is_allocated && has_content && flags & SHF_EXECINSTR.0 != 0,
            merged_entry_bytes: if merged { header.sh_entsize(endian).max(1) } else { 0 },
            holds_strings: flags & SHF_STRINGS.0 != 0,
            data: if is_allocated && has_content { object.data(header, PART)? } else { &[] },
            relocations: Vec::new(),
        })
    };
    object.elf.elf_section_table().iter().map(section).collect()
}

fn read_relocations(
    object: &ObjectFile<'_>,
    sections: &mut [ObjectSection<'_>],
    budget: &mut Budget,
) -> Result<(), ElfError> {
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: PART, source };
    let table = object.elf.elf_section_table();
    for header in table.iter().filter(|header| header.sh_type(endian) == SHT_RELA) {
        let SectionIndex(place) = header.info_link(endian);
        let Some(section) = sections.get_mut(place).filter(|section| section.is_code) else {
            continue;
        };
        let rela = header.rela(endian, object.elf.data()).map_err(failed)?;
        let entries = rela.map_or(&[][..], |(entries, _)| entries);
        budget.take_relocations(entries.len())?;
        section.relocations.extend(entries.iter().map(|entry| Relocation {
            offset: entry.r_offset(endian),
            kind: entry.r_type(endian, false).0,
            symbol: entry.r_sym(endian, false) as usize,
            addend: entry.r_addend(endian),
        }));
    }
    for section in sections {
        section.relocations.sort_by_key(|relocation| relocation.offset);
    }
    Ok(())
}

type Symbols<'data> = (Vec<ObjectSymbol<'data>>, Option<&'data str>);

fn read_symbols<'data>(
    object: &ObjectFile<'data>,
    budget: &mut Budget,
    sections: usize,
) -> Result<Symbols<'data>, ElfError> {
    let endian = object.elf.endian();
    let table = object.elf.elf_symbol_table();
    let failed = |source| ElfError::Part { part: PART, source };
    let mut symbols = Vec::with_capacity(table.len());
    let mut file = None;
    for (index, entry) in table.symbols().iter().enumerate() {
        let name = entry.name(endian, table.strings()).map_err(failed)?;
        budget.take_name(name)?;
        let name = std::str::from_utf8(name).map_err(|_| ElfError::Malformed {
            part: PART,
            problem: "a name is not UTF-8".to_owned(),
        })?;
        let kind = symbol::kind(entry);
        if kind == SymbolKind::File && file.is_none() {
            file = Some(name);
        }
        let number = entry.st_shndx(endian);
        let home = if number == SHN_UNDEF {
            Home::Elsewhere
        } else if number.0 < SHN_LORESERVE {
            Home::Section(usize::from(number.0))
        } else {
            let section =
                table.symbol_section(endian, entry, SymbolIndex(index)).map_err(failed)?;
            section.map_or(Home::Unplaced, |SectionIndex(section)| Home::Section(section))
        };
        if matches!(home, Home::Section(section) if section >= sections) {
            return Err(ElfError::Malformed {
                part: PART,
                problem: "a symbol's section is none".to_owned(),
            });
        }
        let (value, size) = (entry.st_value(endian), entry.st_size(endian));
        let binding = symbol::binding(entry);
        symbols.push(ObjectSymbol { name, value, size, kind, binding, home });
    }
    Ok((symbols, file))
}

/// The first text of several, each of which ends with a zero.
fn first_text(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).find(|text| !text.is_empty())?;
    Some(String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned())
}
