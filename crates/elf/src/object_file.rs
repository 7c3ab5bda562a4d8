use elivepatch_model::ElfBuildId;
use object::{
    Endianness,
    elf::{ELF_NOTE_GNU, EM_X86_64, FileHeader64, NT_GNU_BUILD_ID},
    read::elf::{ElfFile64, FileHeader as _, SectionHeader as _},
};

use crate::ElfError;

/// An ELF file of the only class that is served: 64 bit, x86-64.
pub(crate) struct ObjectFile<'data> {
    pub(crate) elf: ElfFile64<'data, Endianness>,
    section_names: &'data [u8],
}

/// The longest name of a section that is looked at, in bytes; create-klp-module cuts its own at 256.
const SECTION_NAME_BYTES: usize = 512;

/// A section with its place in the section table.
pub(crate) type SectionHeader = object::elf::SectionHeader64<Endianness>;

impl<'data> ObjectFile<'data> {
    /// Reads the headers; `what` names the file in errors.
    pub(crate) fn parse(bytes: &'data [u8], what: &'static str) -> Result<Self, ElfError> {
        let elf = ElfFile64::<Endianness>::parse(bytes)
            .map_err(|source| ElfError::NotElf { what, source })?;
        let header: &FileHeader64<Endianness> = elf.elf_header();
        let machine = header.e_machine(elf.endian());
        if machine != EM_X86_64 || elf.endian() != Endianness::Little {
            return Err(ElfError::Machine { what, machine: machine.0 });
        }
        let failed = |source| ElfError::NotElf { what, source };
        let index = header.section_strings_index(elf.endian(), bytes).map_err(failed)?;
        let names = elf.elf_section_table().section(index).map_err(failed)?;
        let section_names = names.data(elf.endian(), bytes).map_err(failed)?;
        Ok(Self { elf, section_names })
    }

    /// The data of the first section with the name; `None` when there is none.
    pub(crate) fn section(&self, name: &'static str) -> Result<Option<&'data [u8]>, ElfError> {
        match self.header(name) {
            Some((_, header)) => self.data(header, name).map(Some),
            None => Ok(None),
        }
    }

    /// Index and header of the first section with the name.
    pub(crate) fn header(
        &self,
        name: &str,
    ) -> Option<(object::SectionIndex, &'data SectionHeader)> {
        let mut sections = self.elf.elf_section_table().enumerate();
        sections.find(|(_, header)| self.section_name(header) == Some(name.as_bytes()))
    }

    /// The name of a section; `None` when it is outside the table or longer than any real one.
    ///
    /// Not the library's: that looks for the end of a name as far as the table goes, so that a
    /// hostile file with many sections and one endless name keeps it busy for hours.
    pub(crate) fn section_name(&self, header: &SectionHeader) -> Option<&'data [u8]> {
        let start = usize::try_from(header.sh_name(self.elf.endian())).ok()?;
        let names = self.section_names.get(start..)?;
        let names = &names[..names.len().min(SECTION_NAME_BYTES)];
        names.iter().position(|byte| *byte == 0).map(|end| &names[..end])
    }

    /// The data of a section; `part` names it in errors.
    pub(crate) fn data(
        &self,
        header: &SectionHeader,
        part: &'static str,
    ) -> Result<&'data [u8], ElfError> {
        header
            .data(self.elf.endian(), self.elf.data())
            .map_err(|source| ElfError::Part { part, source })
    }

    /// The GNU build-id; `None` when there is no such note.
    pub(crate) fn build_id(&self) -> Result<Option<ElfBuildId>, ElfError> {
        let part = "the build-id note";
        let failed = |source| ElfError::Part { part, source };
        let endian = self.elf.endian();
        // vmlinux has all its notes in one section, modules have one for each.
        for name in [".note.gnu.build-id", ".notes"] {
            let Some((_, header)) = self.header(name) else { continue };
            let notes = header.notes(endian, self.elf.data()).map_err(failed)?;
            let Some(mut notes) = notes else { continue };
            while let Some(note) = notes.next().map_err(failed)? {
                if note.name() == ELF_NOTE_GNU && note.n_type(endian) == NT_GNU_BUILD_ID {
                    return ElfBuildId::from_bytes(note.desc())
                        .map(Some)
                        .map_err(|error| ElfError::Malformed { part, problem: error.to_string() });
                }
            }
        }
        Ok(None)
    }
}
