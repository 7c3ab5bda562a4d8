use std::collections::BTreeSet;

use crate::{ElfError, object_file::ObjectFile};

/// The names of an object's sections.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64.
pub fn section_names(bytes: &[u8]) -> Result<BTreeSet<String>, ElfError> {
    let object = ObjectFile::parse(bytes, "the object")?;
    let names = object.elf.elf_section_table().iter();
    let names = names.filter_map(|header| object.section_name(header));
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}
