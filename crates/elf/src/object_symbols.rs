use object::{
    SectionIndex,
    elf::{SHF_ALLOC, SHN_LORESERVE, SHN_UNDEF},
    read::elf::{SectionHeader as _, Sym as _},
};

use crate::{ElfError, SymbolBinding, SymbolKind, budget::Budget, object_file::ObjectFile, symbol};

const PART: &str = "the symbol table";

/// A symbol that an object or a module defines, with what is needed to find it again elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSymbol {
    /// Its name.
    pub name: String,
    /// Its offset in its section, in bytes.
    pub value: u64,
    /// Its size, in bytes; 0 when unknown.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Who sees it.
    pub binding: SymbolBinding,
    /// The file's name before a local symbol: that of the source file, without directories.
    pub file: Option<String>,
    /// The number and the name of its section; `None` for a mere number (`ABS`) and the like.
    pub section: Option<(usize, String)>,
    /// Whether its section is in memory when the code runs.
    pub is_allocated: bool,
}

/// The symbols that an object defines, in the order of its symbol table, without those that have no
/// name. Names of files and of sections are among them.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or the symbol table cannot be read.
pub fn object_symbols(bytes: &[u8]) -> Result<Vec<ObjectSymbol>, ElfError> {
    let object = ObjectFile::parse(bytes, "the object")?;
    let mut budget = Budget::new(bytes.len());
    let endian = object.elf.endian();
    let table = object.elf.elf_symbol_table();
    let failed = |source| ElfError::Part { part: PART, source };
    let mut file: Option<String> = None;
    let mut found = Vec::new();
    for entry in table.symbols().iter().skip(1) {
        let name = budget.take_text(entry.name(endian, table.strings()).map_err(failed)?)?;
        let (kind, binding) = (symbol::kind(entry), symbol::binding(entry));
        if kind == SymbolKind::File {
            file = Some(name.clone());
        }
        let index = entry.st_shndx(endian);
        if index == SHN_UNDEF || name.is_empty() {
            continue;
        }
        let (mut section, mut is_allocated) = (None, false);
        if index.0 < SHN_LORESERVE {
            let number = usize::from(index.0);
            let header = object.elf.elf_section_table().section(SectionIndex(number));
            let header = header.map_err(failed)?;
            let name = budget.take_text(object.section_name(header).unwrap_or_default())?;
            is_allocated = header.sh_flags(endian).0 & SHF_ALLOC.0 != 0;
            section = Some((number, name));
        }
        let is_local = binding == SymbolBinding::Local;
        // A table of a stranger's may name one long file before a million symbols.
        let file = file.as_ref().filter(|_| is_local);
        let file = file.map(|file| budget.take_text(file.as_bytes())).transpose()?;
        let (value, size) = (entry.st_value(endian), entry.st_size(endian));
        let symbol = ObjectSymbol { name, value, size, kind, binding, file, section, is_allocated };
        found.push(symbol);
    }
    Ok(found)
}
