use std::collections::BTreeSet;

use object::{
    elf::{SHN_UNDEF, STB_GLOBAL},
    read::elf::Sym as _,
};

use crate::{ElfError, object_file::ObjectFile};

/// The names of what an object defines for others, without weak definitions: two objects with the
/// same one cannot be linked together.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or the symbol table cannot be read.
pub fn defined_globals(bytes: &[u8]) -> Result<BTreeSet<String>, ElfError> {
    let object = ObjectFile::parse(bytes, "the object")?;
    let endian = object.elf.endian();
    let table = object.elf.elf_symbol_table();
    let defined = table
        .symbols()
        .iter()
        .filter(|symbol| symbol.st_bind() == STB_GLOBAL && symbol.st_shndx(endian) != SHN_UNDEF);
    defined
        .map(|symbol| {
            let name = symbol.name(endian, table.strings());
            let name =
                name.map_err(|source| ElfError::Part { part: "the symbol table", source })?;
            Ok(String::from_utf8_lossy(name).into_owned())
        })
        .collect()
}
