use object::{
    elf::{SHT_NOBITS, SHT_NULL},
    read::elf::SectionHeader as _,
};

use crate::{
    ElfError,
    object_file::{ObjectFile, SectionHeader},
};

/// Whether two objects are the same but for their debug information: every other section is equal,
/// with symbols and relocations. When in doubt they are not.
///
/// # Errors
/// When one of them is not an ELF file for x86-64.
pub fn same_code(original: &[u8], patched: &[u8]) -> Result<bool, ElfError> {
    let original = ObjectFile::parse(original, "the original object")?;
    let patched = ObjectFile::parse(patched, "the patched object")?;
    let sections = |object: &ObjectFile<'_>| object.elf.elf_section_table().len();
    if sections(&original) != sections(&patched) {
        return Ok(false);
    }
    let headers = |object: &ObjectFile<'_>| -> Vec<_> {
        object.elf.elf_section_table().iter().copied().collect()
    };
    for (old, new) in headers(&original).iter().zip(&headers(&patched)) {
        if !same_section((&original, old), (&patched, new))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn same_section(
    (original, old): (&ObjectFile<'_>, &SectionHeader),
    (patched, new): (&ObjectFile<'_>, &SectionHeader),
) -> Result<bool, ElfError> {
    let name = original.section_name(old);
    let attributes = |header: &SectionHeader| {
        let endian = object::Endianness::Little;
        (
            header.sh_type(endian),
            header.sh_flags(endian),
            header.sh_link(endian),
            header.sh_info(endian),
            header.sh_addralign(endian),
            header.sh_entsize(endian),
        )
    };
    if name.is_none() || name != patched.section_name(new) || attributes(old) != attributes(new) {
        return Ok(false);
    }
    let of_debug_information =
        name.is_some_and(|name| name.starts_with(b".debug_") || name.starts_with(b".rela.debug_"));
    if of_debug_information {
        return Ok(true);
    }
    let endian = object::Endianness::Little;
    match old.sh_type(endian) {
        SHT_NULL => Ok(true),
        SHT_NOBITS => Ok(old.sh_size(endian) == new.sh_size(endian)),
        _ => Ok(original.data(old, "a section")? == patched.data(new, "a section")?),
    }
}
