use std::path::Path;

use elivepatch_model::ElfBuildId;
use object::{
    elf::{SHF_ALLOC, SHT_NOBITS},
    read::elf::SectionHeader as _,
};

use super::symbols::ImageSymbols;
use crate::{ElfError, mapped_file::MappedFile, object_file::ObjectFile};

/// A kernel's image, mapped and read in place. It may have lost its symbols, as the one has that
/// is in a bootable image.
#[derive(Debug)]
pub struct VmlinuxCode<'a> {
    pub(super) symbols: ImageSymbols,
    file: &'a VmlinuxFile,
}

/// The file of a kernel's image with a table of its sections.
#[derive(Debug)]
pub struct VmlinuxFile {
    file: MappedFile,
    /// The sections with content: their addresses and where they lie in the file.
    sections: Vec<(u64, std::ops::Range<usize>)>,
    build_id: Option<ElfBuildId>,
}

impl VmlinuxFile {
    /// Maps the file and reads its section table. The file must not be changed while it is open.
    ///
    /// # Errors
    /// When it cannot be mapped, or is not an ELF file for x86-64.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        let file = MappedFile::open(path)?;
        let object = ObjectFile::parse(file.bytes(), "vmlinux")?;
        let endian = object.elf.endian();
        let mut sections = Vec::new();
        for header in object.elf.elf_section_table().iter() {
            let has_content = header.sh_flags(endian).0 & SHF_ALLOC.0 != 0
                && header.sh_type(endian) != SHT_NOBITS;
            let part = "a section of vmlinux";
            let outside =
                || ElfError::Malformed { part, problem: "it lies outside of the file".to_owned() };
            if has_content {
                let start = usize::try_from(header.sh_offset(endian)).map_err(|_| outside())?;
                let size = usize::try_from(header.sh_size(endian)).map_err(|_| outside())?;
                let end = start.checked_add(size).ok_or_else(outside)?;
                file.bytes().get(start..end).ok_or_else(outside)?;
                sections.push((header.sh_addr(endian), start..end));
            }
        }
        let build_id = object.build_id()?;
        Ok(Self { sections, build_id, file })
    }

    /// The GNU build-id; `None` when the kernel was linked without one.
    pub fn build_id(&self) -> Option<&ElfBuildId> {
        self.build_id.as_ref()
    }

    fn from(&self, address: u64) -> &[u8] {
        let found = self.sections.iter().find_map(|(start, range)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            (at < range.len()).then(|| &self.file.bytes()[range.start + at..range.end])
        });
        found.unwrap_or_default()
    }
}

impl<'a> VmlinuxCode<'a> {
    /// The code in `file`, where these symbols lie.
    pub fn new(file: &'a VmlinuxFile, symbols: ImageSymbols) -> Self {
        Self { symbols, file }
    }

    pub(super) fn bytes(&self, address: u64, count: u64) -> Option<&[u8]> {
        self.file.from(address).get(..usize::try_from(count).ok()?)
    }

    pub(super) fn bytes_from(&self, address: u64, at_most: usize) -> &[u8] {
        let bytes = self.file.from(address);
        &bytes[..bytes.len().min(at_most)]
    }
}
