use object::{Endianness, elf::Rela64};

use crate::ElfError;

/// How much text all names of one module may have together, in bytes. A stock module with all its
/// debug information has under 2 MB of names. Without the limit a file of 1 MB, whose symbols all
/// point to the beginning of one long name, would keep the reader busy for minutes.
const TEXT_BYTES: usize = 64 * 1024 * 1024;

/// Bounds the work that a module can cause, whose parts may overlap as a stranger likes.
#[derive(Debug)]
pub(crate) struct Budget {
    text_left: usize,
    relocations_left: usize,
    line_table_bytes_left: usize,
}

impl Budget {
    /// The budget for a file of a size. The relocations of a real file do not overlap, nor do the
    /// line tables, so that there are no more than fit into it.
    pub(crate) fn new(file_bytes: usize) -> Self {
        Self {
            text_left: TEXT_BYTES,
            relocations_left: file_bytes / size_of::<Rela64<Endianness>>(),
            line_table_bytes_left: file_bytes,
        }
    }

    /// Takes the relocations of one section into account.
    pub(crate) fn take_relocations(&mut self, count: usize) -> Result<(), ElfError> {
        let left = self.relocations_left.checked_sub(count).ok_or(ElfError::Overlap)?;
        self.relocations_left = left;
        Ok(())
    }

    /// Takes the header of one line table into account, with the names of files in it.
    pub(crate) fn take_line_table(&mut self, header_bytes: usize) -> Result<(), ElfError> {
        let left = self.line_table_bytes_left.checked_sub(header_bytes).ok_or(ElfError::Overlap)?;
        self.line_table_bytes_left = left;
        Ok(())
    }

    /// Takes a name into account.
    pub(crate) fn take_name(&mut self, name: &[u8]) -> Result<(), ElfError> {
        // Empty names count as well: a loop over them must end, too.
        self.text_left = (self.text_left.checked_sub(name.len() + 1))
            .ok_or(ElfError::TooMuchText { limit: TEXT_BYTES })?;
        Ok(())
    }

    /// Takes a name into account and makes it a text.
    pub(crate) fn take_text(&mut self, name: &[u8]) -> Result<String, ElfError> {
        self.take_name(name)?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }
}
