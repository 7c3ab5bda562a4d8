use object::{
    elf::SHT_RELA,
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{ElfError, budget::Budget, object_file::ObjectFile};

const SECTION_PREFIX: &[u8] = b".klp.rela.";
pub(crate) const SYMBOL_PREFIX: &str = ".klp.sym.";
const PART: &str = "a livepatch relocation section";

/// A section `.klp.rela.OBJECT.SECTION`: relocations that the kernel's livepatch code applies when
/// OBJECT is there (Documentation/livepatch/module-elf-format.rst).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivepatchRelocations {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// The section that is relocated, such as `.text.meminfo_proc_show`.
    pub section: String,
    /// The symbols that the relocations refer to, each once, in the order of their first use.
    pub symbols: Vec<LivepatchSymbol>,
    /// The relocations, in the order of the section.
    pub entries: Vec<LivepatchRelocation>,
}

/// One relocation that the kernel's livepatch code applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LivepatchRelocation {
    /// Where in the section, in bytes.
    pub offset: u64,
    /// The relocation type of the architecture.
    pub kind: u32,
    /// Which of [`LivepatchRelocations::symbols`].
    pub symbol: usize,
    /// What is added to the symbol's address.
    pub addend: i64,
}

/// A symbol `.klp.sym.OBJECT.NAME,POSITION`, which the kernel looks up in its own symbol table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LivepatchSymbol {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// The symbol's name there.
    pub name: String,
    /// Which of several symbols of that name, from 1; 0 when there is only one.
    pub position: u64,
}

pub(crate) fn livepatch_relocations(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<Vec<LivepatchRelocations>, ElfError> {
    let endian = object.elf.endian();
    let table = object.elf.elf_section_table();
    let mut found = Vec::new();
    for header in table.iter() {
        let name = object.section_name(header).and_then(|name| name.strip_prefix(SECTION_PREFIX));
        let Some(name) = name else { continue };
        let name = budget.take_text(name)?;
        let (object_name, section) =
            name.split_once('.').ok_or_else(|| malformed("section", &name))?;
        if header.sh_type(endian) != SHT_RELA {
            return Err(malformed("section", &name));
        }
        let (symbols, entries) = relocations(object, header, budget)?;
        found.push(LivepatchRelocations {
            object: object_name.to_owned(),
            section: section.to_owned(),
            symbols,
            entries,
        });
    }
    Ok(found)
}

fn relocations(
    object: &ObjectFile<'_>,
    header: &crate::object_file::SectionHeader,
    budget: &mut Budget,
) -> Result<(Vec<LivepatchSymbol>, Vec<LivepatchRelocation>), ElfError> {
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: PART, source };
    let table = object.elf.elf_symbol_table();
    let rela = header.rela(endian, object.elf.data()).map_err(failed)?;
    let relocations = rela.map_or(&[][..], |(relocations, _)| relocations);
    budget.take_relocations(relocations.len())?;
    // The relocations of one symbol may be far apart; each symbol is read once.
    let mut seen = std::collections::HashMap::new();
    let mut symbols = Vec::new();
    let mut entries = Vec::with_capacity(relocations.len());
    for relocation in relocations {
        let index = relocation.r_sym(endian, false);
        let position = match seen.get(&index) {
            Some(position) => *position,
            None => {
                let symbol = table.symbol(object::SymbolIndex(index as usize)).map_err(failed)?;
                let name = symbol.name(endian, table.strings()).map_err(failed)?;
                let name = budget.take_text(name)?;
                symbols.push(parse_symbol(&name).ok_or_else(|| malformed("symbol", &name))?);
                seen.insert(index, symbols.len() - 1);
                symbols.len() - 1
            }
        };
        entries.push(LivepatchRelocation {
            offset: relocation.r_offset(endian),
            kind: relocation.r_type(endian, false).0,
            symbol: position,
            addend: relocation.r_addend(endian),
        });
    }
    Ok((symbols, entries))
}

/// Reads `.klp.sym.OBJECT.NAME,POSITION`; NAME may have dots, as in `foo.isra.0`.
pub(crate) fn parse_symbol(name: &str) -> Option<LivepatchSymbol> {
    let (object, rest) = name.strip_prefix(SYMBOL_PREFIX)?.split_once('.')?;
    let (name, position) = rest.rsplit_once(',')?;
    if object.is_empty() || name.is_empty() {
        return None;
    }
    let position = position.parse().ok()?;
    Some(LivepatchSymbol { object: object.to_owned(), name: name.to_owned(), position })
}

fn malformed(what: &str, name: &str) -> ElfError {
    let shown: String = name.chars().take(100).collect();
    ElfError::Malformed {
        part: PART,
        problem: format!("\"{}\" is not the name of a livepatch {what}", shown.escape_debug()),
    }
}
