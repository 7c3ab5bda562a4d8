//! Whether two objects differ in nothing but what is gone when a kernel runs: `__init` code and data.

use std::collections::BTreeMap;

use object::{
    SymbolIndex,
    elf::{
        R_X86_64_PC32, R_X86_64_PLT32, SHF_ALLOC, SHF_MERGE, SHF_STRINGS, SHT_NOBITS, SHT_RELA,
        STT_SECTION,
    },
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{
    ElfError,
    budget::Budget,
    object_file::{ObjectFile, SectionHeader},
};

/// Sections of `__init` code and data, and of what runs it (`include/linux/init.h`).
const INIT: [&[u8]; 4] = [b".init.", b".initcall", b".con_initcall", b".meminit."];

/// Tables that say something of places in the code, `__init` code among them: their entries differ
/// with it. What they say of other code, that code's source says, which is the same on both sides.
const TABLES: [&[u8]; 21] = [
    b".discard.",
    b".orc_",
    b".return_sites",
    b".retpoline_sites",
    b".call_sites",
    b".static_call_sites",
    b".ibt_endbr_seal",
    b".cfi_sites",
    b".altinstructions",
    b".altinstr_replacement",
    b".altinstr_aux",
    b".parainstructions",
    b".smp_locks",
    b".printk_index",
    b".fixup",
    b"__bug_table",
    b"__jump_table",
    b"__ex_table",
    b"__mcount_loc",
    b"__patchable_function_entries",
    b".eh_frame",
];

/// The longest text in a section of strings that is compared, in bytes.
const TEXT_BYTES: usize = 64 * 1024;

/// What of a section decides what its bytes mean when the kernel runs.
#[derive(PartialEq, Eq)]
struct Content {
    flags: u64,
    size: u64,
    bytes: Vec<u8>,
    /// By place and type.
    targets: Vec<(u64, u32, Target)>,
}

/// What a relocation leads to, by names: numbers of symbols and places in tables of strings differ.
#[derive(PartialEq, Eq)]
enum Target {
    Symbol(Vec<u8>, i64),
    Section(Vec<u8>, i64),
    Text(Vec<u8>),
}

/// The name of the first section beside those of `__init` code and data in which the objects
/// differ; `None` when there is no such section. When in doubt they differ.
///
/// Tables about places in code are not compared (`.altinstructions`, `__bug_table` and the like):
/// both objects must come from sources that differ in `__init` functions and data only.
///
/// # Errors
/// When one of them is not an ELF file for x86-64, or cannot be read.
pub fn difference_outside_init(one: &[u8], other: &[u8]) -> Result<Option<String>, ElfError> {
    let one = contents(&ObjectFile::parse(one, "the patched object")?, one.len())?;
    let other = contents(&ObjectFile::parse(other, "the adapted object")?, other.len())?;
    let differs = |name: &&Vec<u8>| one.get(*name) != other.get(*name);
    let name = one.keys().chain(other.keys()).find(differs);
    Ok(name.map(|name| String::from_utf8_lossy(name).into_owned()))
}

fn contents(
    object: &ObjectFile<'_>,
    file_bytes: usize,
) -> Result<BTreeMap<Vec<u8>, Vec<Content>>, ElfError> {
    let endian = object.elf.endian();
    let part = "a section";
    let mut budget = Budget::new(file_bytes);
    let mut targets: BTreeMap<usize, Vec<(u64, u32, Target)>> = BTreeMap::new();
    for header in object.elf.elf_section_table().iter() {
        if header.sh_type(endian) != SHT_RELA {
            continue;
        }
        let section = header.info_link(endian);
        let applies_to = object.elf.elf_section_table().section(section);
        if !applies_to.is_ok_and(|header| is_compared(object, header)) {
            continue;
        }
        let rela = header.rela(endian, object.elf.data());
        let rela = rela.map_err(|source| ElfError::Part { part, source })?;
        let entries = rela.map_or(&[][..], |(entries, _)| entries);
        budget.take_relocations(entries.len())?;
        for entry in entries {
            let kind = entry.r_type(endian, false);
            let symbol = SymbolIndex(entry.r_sym(endian, false) as usize);
            let target = target(object, symbol, kind, entry.r_addend(endian), &mut budget)?;
            let of_section = targets.entry(section.0).or_default();
            of_section.push((entry.r_offset(endian), kind.0, target));
        }
    }
    let mut contents: BTreeMap<Vec<u8>, Vec<Content>> = BTreeMap::new();
    for (index, header) in object.elf.elf_section_table().enumerate() {
        if !is_compared(object, header) {
            continue;
        }
        let bytes = match header.sh_type(endian) {
            SHT_NOBITS => &[],
            _ => object.data(header, part)?,
        };
        let name = object.section_name(header).unwrap_or_default();
        contents.entry(name.to_vec()).or_default().push(Content {
            flags: header.sh_flags(endian).0,
            size: header.sh_size(endian),
            bytes: bytes.to_vec(),
            targets: targets.remove(&index.0).unwrap_or_default(),
        });
    }
    Ok(contents)
}

/// Whether a section holds something that is there when the kernel runs. Strings are compared where
/// something leads to them.
fn is_compared(object: &ObjectFile<'_>, header: &SectionHeader) -> bool {
    let Some(name) = object.section_name(header) else { return true };
    let begins = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    header.sh_flags(object.elf.endian()).contains(SHF_ALLOC)
        && !begins(&INIT)
        && !begins(&TABLES)
        && !is_strings(object, header)
}

fn is_strings(object: &ObjectFile<'_>, header: &SectionHeader) -> bool {
    let flags = header.sh_flags(object.elf.endian());
    flags.contains(SHF_MERGE) && flags.contains(SHF_STRINGS)
}

fn target(
    object: &ObjectFile<'_>,
    index: SymbolIndex,
    kind: object::elf::RelocationType,
    addend: i64,
    budget: &mut Budget,
) -> Result<Target, ElfError> {
    let failed = |source| ElfError::Part { part: "a relocation", source };
    let endian = object.elf.endian();
    let table = object.elf.elf_symbol_table();
    let symbol = table.symbol(index).map_err(failed)?;
    let name = symbol.name(endian, table.strings()).map_err(failed)?;
    let is_label = name.starts_with(b".L");
    let section = table.symbol_section(endian, symbol, index).map_err(failed)?;
    let Some(section) = section.filter(|_| symbol.st_type() == STT_SECTION || is_label) else {
        return Ok(Target::Symbol(budget.take_text(name)?.into_bytes(), addend));
    };
    let header = object.elf.elf_section_table().section(section).map_err(failed)?;
    let section_name = object.section_name(header).unwrap_or_default();
    let place = addend.saturating_add_unsigned(symbol.st_value(endian));
    if !is_strings(object, header) {
        let name = budget.take_text(section_name)?.into_bytes();
        return Ok(Target::Section(name, place));
    }
    // The processor counts from the end of the field.
    let is_relative = kind == R_X86_64_PC32 || kind == R_X86_64_PLT32;
    let place = if is_relative { place.saturating_add(4) } else { place };
    let data = object.data(header, "strings")?;
    let text = usize::try_from(place).ok().and_then(|place| data.get(place..));
    let text = text.map(|text| &text[..text.len().min(TEXT_BYTES)]);
    match text.and_then(|text| text.split(|byte| *byte == 0).next()) {
        Some(text) => {
            budget.take_text(text)?;
            Ok(Target::Text(text.to_vec()))
        }
        None => Ok(Target::Section(budget.take_text(section_name)?.into_bytes(), place)),
    }
}
