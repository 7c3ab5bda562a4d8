//! The functions of a kernel that must not be branched to indirectly.

use std::collections::{BTreeMap, BTreeSet};

use object::{elf::SHF_EXECINSTR, read::elf::SectionHeader as _};

use crate::{
    ElfError, SymbolKind,
    branch_targets::{ENDBR64, SEAL_SECTION},
    object_file::ObjectFile,
    symbol,
};

const PART: &str = "the code of vmlinux";

/// Names of functions that do not begin with ENDBR64 once the kernel runs, with their positions
/// among all symbols of the name, from 1, in the order of their addresses: so livepatch counts.
pub(crate) fn functions_without_endbr(
    object: &ObjectFile<'_>,
) -> Result<BTreeSet<(String, u64)>, ElfError> {
    let endian = object.elf.endian();
    let sealed = sealed(object)?;
    let mut code = BTreeMap::new();
    for header in object.elf.elf_section_table().iter() {
        if header.sh_flags(endian).0 & SHF_EXECINSTR.0 != 0 {
            code.insert(header.sh_addr(endian), object.data(header, PART)?);
        }
    }
    let has_endbr = |address: u64| {
        let section = code.range(..=address).next_back();
        let bytes =
            section.and_then(|(start, bytes)| bytes.get(usize::try_from(address - start).ok()?..));
        bytes.is_some_and(|bytes| bytes.starts_with(&ENDBR64)) && !sealed.contains(&address)
    };
    let mut by_name: BTreeMap<&str, Vec<(u64, bool)>> = BTreeMap::new();
    for symbol in symbol::symbols(object) {
        let symbol = symbol?;
        let is_named = !symbol.name.is_empty() && !symbol.is_undefined && !symbol.is_absolute;
        if is_named && !matches!(symbol.kind, SymbolKind::File | SymbolKind::Section) {
            let is_function = symbol.kind == SymbolKind::Function;
            by_name.entry(symbol.name).or_default().push((symbol.address, is_function));
        }
    }
    let mut found = BTreeSet::new();
    for (name, mut places) in by_name {
        places.sort_unstable();
        for (position, (address, is_function)) in (1..).zip(places) {
            if is_function && !has_endbr(address) {
                found.insert((name.to_owned(), position));
            }
        }
    }
    Ok(found)
}

/// The addresses at which the kernel takes ENDBR away when it boots (`apply_seal_endbr` in
/// arch/x86/kernel/alternative.c): each entry of the section is the distance from itself.
fn sealed(object: &ObjectFile<'_>) -> Result<BTreeSet<u64>, ElfError> {
    let Some((_, header)) = object.header(SEAL_SECTION) else { return Ok(BTreeSet::new()) };
    let start = header.sh_addr(object.elf.endian());
    let entries = object.data(header, SEAL_SECTION)?.chunks_exact(4);
    let address = |(index, entry): (u64, &[u8])| {
        let distance = i32::from_le_bytes(entry.try_into().expect("chunks of four bytes"));
        start.wrapping_add(index * 4).wrapping_add_signed(distance.into())
    };
    Ok((0..).zip(entries).map(address).collect())
}
