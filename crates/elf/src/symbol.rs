use object::{
    Endianness,
    elf::{self, Sym64},
    read::elf::Sym as _,
};

use crate::{ElfError, object_file::ObjectFile};

/// A symbol of `vmlinux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'data> {
    /// Its name; a file's name for [`SymbolKind::File`].
    pub name: &'data str,
    /// Its address, before any relocation of the kernel at boot.
    pub address: u64,
    /// Its size, in bytes; 0 when unknown.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Who sees it.
    pub binding: SymbolBinding,
    /// Whether it is only used and defined elsewhere.
    pub is_undefined: bool,
    /// Whether its address is a mere number (`ABS`): the kernel's own table does not keep those.
    pub is_absolute: bool,
}

/// What a symbol names: its ELF type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// Nothing that is said (`NOTYPE`): labels in assembly.
    Unknown,
    /// A variable (`OBJECT`).
    Object,
    /// A function (`FUNC`).
    Function,
    /// A section.
    Section,
    /// A source file; it tells which file the local symbols after it are from.
    File,
    /// Any other type.
    Other,
}

/// Who sees a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolBinding {
    /// Its own source file only.
    Local,
    /// Everyone.
    Global,
    /// Everyone, unless another definition is there.
    Weak,
    /// Any other binding.
    Other,
}

/// The symbols in the order of the table, without the null symbol.
pub(crate) fn symbols<'data>(
    object: &ObjectFile<'data>,
) -> impl Iterator<Item = Result<Symbol<'data>, ElfError>> {
    let endian = object.elf.endian();
    let strings = object.elf.elf_symbol_table().strings();
    object.elf.elf_symbol_table().symbols().iter().skip(1).map(move |symbol| {
        let part = "the symbol table";
        let name =
            symbol.name(endian, strings).map_err(|source| ElfError::Part { part, source })?;
        let name = std::str::from_utf8(name)
            .map_err(|_| ElfError::Malformed { part, problem: "a name is not UTF-8".to_owned() })?;
        Ok(Symbol {
            name,
            address: symbol.st_value(endian),
            size: symbol.st_size(endian),
            kind: kind(symbol),
            binding: binding(symbol),
            is_undefined: symbol.is_undefined(endian),
            is_absolute: symbol.st_shndx(endian) == elf::SHN_ABS,
        })
    })
}

pub(crate) fn kind(symbol: &Sym64<Endianness>) -> SymbolKind {
    match symbol.st_type() {
        elf::STT_NOTYPE => SymbolKind::Unknown,
        elf::STT_OBJECT => SymbolKind::Object,
        elf::STT_FUNC => SymbolKind::Function,
        elf::STT_SECTION => SymbolKind::Section,
        elf::STT_FILE => SymbolKind::File,
        _ => SymbolKind::Other,
    }
}

pub(crate) fn binding(symbol: &Sym64<Endianness>) -> SymbolBinding {
    match symbol.st_bind() {
        elf::STB_LOCAL => SymbolBinding::Local,
        elf::STB_GLOBAL => SymbolBinding::Global,
        elf::STB_WEAK => SymbolBinding::Weak,
        _ => SymbolBinding::Other,
    }
}
