//! Constants that the kernel writes into its own code when it boots, and into no module's.

use object::{
    SectionIndex,
    elf::{SHF_ALLOC, SHF_EXECINSTR, STT_FUNC},
    read::elf::{SectionHeader as _, Sym as _},
};

use crate::{ElfError, object_file::ObjectFile, places::Places, references::references};

/// How the sections begin that list the places: `runtime_ptr_NAME` and `runtime_shift_NAME`
/// (arch/x86/include/asm/runtime-const.h, since Linux 6.11). Their names are C names, so that the
/// linker marks their beginnings and ends.
const SECTION_PREFIX: &str = "runtime_";

/// What an instruction holds until the kernel writes the pointer there.
const PLACEHOLDER: u64 = 0x0123_4567_89ab_cdef;

const PART: &str = "the code of the module";

/// The functions of a compiled object that hold such constants, each with the constant's name, sorted.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or a relocation or symbol is malformed.
pub fn runtime_constants(object: &[u8]) -> Result<Vec<(String, String)>, ElfError> {
    let is_list = |section: &str| section.starts_with(SECTION_PREFIX);
    let constant = |section: &str| {
        let kind_and_name = section.strip_prefix(SECTION_PREFIX).unwrap_or(section);
        kind_and_name.split_once('_').map_or(kind_and_name, |(_, name)| name).to_owned()
    };
    let references = references(object, is_list)?.into_iter();
    let mut found: Vec<(String, String)> =
        references.map(|reference| (reference.to, constant(&reference.from))).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// The places of a finished module where something stands for such a constant and nobody will write
/// it: functions with the placeholder of a pointer, and lists of places. A shift has no placeholder
/// that other code could not have: only a list shows it.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or a symbol is malformed.
pub fn unwritten_runtime_constants(module: &[u8]) -> Result<Vec<String>, ElfError> {
    let object = ObjectFile::parse(module, "the module")?;
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: PART, source };
    let functions = Places::read(&object, &[STT_FUNC], PART)?;
    let table = object.elf.elf_symbol_table();
    let mut found = Vec::new();
    for (index, header) in object.elf.elf_section_table().enumerate() {
        let flags = header.sh_flags(endian);
        let name = String::from_utf8_lossy(object.section_name(header).unwrap_or_default());
        if flags.contains(SHF_ALLOC) && name.starts_with(SECTION_PREFIX) {
            found.push(format!("the section {name}"));
        }
        if !flags.contains(SHF_EXECINSTR) {
            continue;
        }
        for at in placeholders(object.data(header, PART)?) {
            match functions.around(SectionIndex(index.0), at) {
                Some(function) => {
                    let symbol = table.symbol(function.symbol).map_err(failed)?;
                    let name = symbol.name(endian, table.strings()).map_err(failed)?;
                    found.push(String::from_utf8_lossy(name).into_owned());
                }
                None => found.push(format!("{name}+{at:#x}")),
            }
        }
    }
    found.dedup();
    Ok(found)
}

/// Where `movabs $PLACEHOLDER, REGISTER` stands: REX.W with or without REX.B, and B8 + register.
fn placeholders(code: &[u8]) -> impl Iterator<Item = u64> {
    let value = PLACEHOLDER.to_le_bytes();
    (0..).zip(code.windows(2 + value.len())).filter_map(move |(at, window)| {
        let is_move = matches!(window[0], 0x48 | 0x49) && matches!(window[1], 0xb8..=0xbf);
        (is_move && window[2..] == value).then_some(at)
    })
}
