use object::{
    SectionIndex, SymbolIndex,
    elf::{R_X86_64_32, R_X86_64_64, R_X86_64_NONE, SHT_RELA},
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{
    ElfError,
    budget::Budget,
    object_file::{ObjectFile, SectionHeader},
};

const PART: &str = "the relocation of debug information";

/// A copy of a section with its relocations applied as a linker would that leaves every section
/// at address 0. So the offsets into other sections of debug information become what they say.
///
/// A module is a relocatable object: in its file those offsets are 0, and the relocations hold
/// them (System V ABI for x86-64, 4.4.1: with RELA the addend is in the relocation alone).
pub(crate) fn relocated(
    object: &ObjectFile<'_>,
    name: &'static str,
    budget: &mut Budget,
) -> Result<Vec<u8>, ElfError> {
    let Some((index, header)) = object.header(name) else {
        return Err(ElfError::NoDebugInformation { section: name, problem: "is missing" });
    };
    relocated_section(object, index, header, name, budget)
}

/// As [`relocated`], for a section that not every compiler writes: without it there are no bytes.
pub(crate) fn relocated_if_there(
    object: &ObjectFile<'_>,
    name: &'static str,
    budget: &mut Budget,
) -> Result<Vec<u8>, ElfError> {
    match object.header(name) {
        Some(_) => relocated(object, name, budget),
        None => Ok(Vec::new()),
    }
}

/// As [`relocated`], for a section by its index: with type units there are several of one name.
pub(crate) fn relocated_section(
    object: &ObjectFile<'_>,
    index: SectionIndex,
    header: &SectionHeader,
    name: &'static str,
    budget: &mut Budget,
) -> Result<Vec<u8>, ElfError> {
    let endian = object.elf.endian();
    let mut data = object.data(header, name)?.to_vec();
    let failed = |source| ElfError::Part { part: PART, source };
    let symbols = object.elf.elf_symbol_table();
    for header in object.elf.elf_section_table().iter() {
        if header.sh_type(endian) != SHT_RELA || header.info_link(endian) != index {
            continue;
        }
        let rela = header.rela(endian, object.elf.data()).map_err(failed)?;
        let relocations = rela.map_or(&[][..], |(relocations, _)| relocations);
        budget.take_relocations(relocations.len())?;
        for relocation in relocations {
            let bytes = match relocation.r_type(endian, false) {
                R_X86_64_NONE => continue,
                R_X86_64_32 => 4,
                R_X86_64_64 => 8,
                other => return Err(malformed(format!("{name} has one of type {other:?}"))),
            };
            let symbol = SymbolIndex(relocation.r_sym(endian, false) as usize);
            let value = symbols.symbol(symbol).map_err(failed)?.st_value(endian);
            let value = value.wrapping_add_signed(relocation.r_addend(endian));
            let start = usize::try_from(relocation.r_offset(endian)).ok();
            let place = start.and_then(|start| data.get_mut(start..)?.get_mut(..bytes));
            let Some(place) = place else {
                return Err(malformed(format!("one of {name} lies outside of it")));
            };
            place.copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
    }
    Ok(data)
}

fn malformed(problem: String) -> ElfError {
    ElfError::Malformed { part: PART, problem }
}
