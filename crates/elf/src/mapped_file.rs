//! The one place with unsafe code: mapping a file into memory. See docs/adr/0002-map-vmlinux.md.
#![allow(unsafe_code)]

use std::{fs::File, ops::Range, path::Path};

use memmap2::{Mmap, UncheckedAdvice};

use crate::ElfError;

/// A file mapped read-only.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps the whole file.
    pub(crate) fn open(path: &Path) -> Result<Self, ElfError> {
        let failed = |source| ElfError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        // SAFETY: the bytes must not change while they are mapped. What is mapped is the kernel
        // image in a base, and a base is immutable once it is made: the builder makes it under
        // another name and renames it. Were the file truncated nevertheless, reading would end
        // the process by SIGBUS and not read foreign memory.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self { map })
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Gives back the memory of a part that will not be read again soon.
    pub(crate) fn release(&self, range: Range<usize>) {
        // SAFETY: MADV_DONTNEED drops pages. The mapping is read-only and backed by a file, so
        // that they are read from the file again when they are next touched, with equal bytes. The
        // advice is only that: when it fails, the memory stays in use, and nothing else happens.
        let _ = unsafe {
            self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
        };
    }
}
