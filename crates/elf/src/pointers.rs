use std::collections::HashMap;

use object::{
    SymbolIndex,
    elf::{R_X86_64_64, SHT_RELA},
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{ElfError, budget::Budget, object_file::ObjectFile};

/// The longest name of a function or a module, in bytes: `KSYM_NAME_LEN` since Linux 6.1.
const NAME_BYTES: usize = 512;

/// The pointers in a section of a relocatable file, which are still relocations there, by their
/// offset in the section. The name of the section is for errors.
pub(crate) struct Pointers<'object, 'data> {
    object: &'object ObjectFile<'data>,
    part: &'static str,
    targets: HashMap<u64, (SymbolIndex, i64)>,
}

impl<'object, 'data> Pointers<'object, 'data> {
    /// Reads the pointers in `section`, whose relocations are in the section `relocations`.
    pub(crate) fn read(
        object: &'object ObjectFile<'data>,
        section: object::SectionIndex,
        relocations: &str,
        part: &'static str,
        budget: &mut Budget,
    ) -> Result<Self, ElfError> {
        let endian = object.elf.endian();
        let failed = |source| ElfError::Part { part, source };
        let mut targets = HashMap::new();
        for header in object.elf.elf_section_table().iter() {
            let applies = header.sh_type(endian) == SHT_RELA && header.info_link(endian) == section;
            // Livepatch relocations may apply to the same section, and have names of their own.
            if !applies || object.section_name(header) != Some(relocations.as_bytes()) {
                continue;
            }
            let rela = header.rela(endian, object.elf.data()).map_err(failed)?;
            let entries = rela.map_or(&[][..], |(entries, _)| entries);
            budget.take_relocations(entries.len())?;
            for entry in entries {
                if entry.r_type(endian, false) == R_X86_64_64 {
                    let symbol = SymbolIndex(entry.r_sym(endian, false) as usize);
                    targets.insert(entry.r_offset(endian), (symbol, entry.r_addend(endian)));
                }
            }
        }
        Ok(Self { object, part, targets })
    }

    /// Where the pointer at `offset` leads: a section, and an offset in it. `None` for a pointer
    /// that is null.
    pub(crate) fn target(
        &self,
        offset: u64,
    ) -> Result<Option<(object::SectionIndex, usize)>, ElfError> {
        let Some((symbol, addend)) = self.targets.get(&offset).copied() else { return Ok(None) };
        let endian = self.object.elf.endian();
        let failed = |source| ElfError::Part { part: self.part, source };
        let table = self.object.elf.elf_symbol_table();
        let entry = table.symbol(symbol).map_err(failed)?;
        let section = table.symbol_section(endian, entry, symbol).map_err(failed)?;
        let section = section
            .ok_or_else(|| self.malformed(format!("the pointer at {offset} is to no section")))?;
        let start = entry.st_value(endian).checked_add_signed(addend);
        let start = start.and_then(|start| usize::try_from(start).ok());
        let start = start
            .ok_or_else(|| self.malformed(format!("the pointer at {offset} is out of range")))?;
        Ok(Some((section, start)))
    }

    /// The text that the pointer at `offset` leads to, without its end; `None` for a null pointer.
    pub(crate) fn text(&self, offset: u64) -> Result<Option<&'data [u8]>, ElfError> {
        let Some((section, start)) = self.target(offset)? else { return Ok(None) };
        let failed = |source| ElfError::Part { part: self.part, source };
        let header = self.object.elf.elf_section_table().section(section).map_err(failed)?;
        let text = self.object.data(header, self.part)?.get(start..).unwrap_or_default();
        let text = &text[..text.len().min(NAME_BYTES)];
        match text.iter().position(|byte| *byte == 0) {
            Some(end) if end > 0 => Ok(Some(&text[..end])),
            _ => Err(self.malformed("a name is empty or does not end".to_owned())),
        }
    }

    /// As [`Pointers::text`], where a null pointer makes no sense.
    pub(crate) fn some_text(&self, offset: u64) -> Result<&'data [u8], ElfError> {
        let text = self.text(offset)?;
        text.ok_or_else(|| self.malformed(format!("no name at offset {offset}")))
    }

    pub(crate) fn malformed(&self, problem: String) -> ElfError {
        ElfError::Malformed { part: self.part, problem }
    }
}
