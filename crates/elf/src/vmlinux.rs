use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use elivepatch_model::ElfBuildId;
use object::read::elf::{SectionHeader as _, Sym as _};

use crate::{
    ElfError, Symbol, budget::Budget, compile_units, debug_sections::DebugSections,
    included_sources, mapped_file::MappedFile, object_file::ObjectFile, struct_sizes, symbol,
    vmlinux_branches,
};

/// The structures whose sizes kpatch's create-diff-object wants to know.
pub const SPECIAL_STRUCTS: [&str; 8] = [
    "alt_instr",
    "bug_entry",
    "exception_table_entry",
    "jump_entry",
    "orc_entry",
    "paravirt_patch_site",
    "static_call_site",
    "pi_entry",
];

/// How much of the debug information is read before its memory is given back, in bytes: little
/// enough that reading all of it takes no more memory than the symbols do, and much more than the
/// system reads ahead.
const RELEASE_BYTES: usize = 32 * 1024 * 1024;

/// The longest banner that is looked for, in bytes.
const BANNER_BYTES: usize = 1024;

/// A target's `vmlinux` with symbols and debug information, mapped and read in place.
///
/// The file must not be changed while it is open.
#[derive(Debug)]
pub struct Vmlinux {
    file: MappedFile,
}

impl Vmlinux {
    /// Maps the file and checks its headers.
    ///
    /// # Errors
    /// When the file cannot be mapped or is not an ELF file for x86-64.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        let vmlinux = Self { file: MappedFile::open(path)? };
        vmlinux.object()?;
        Ok(vmlinux)
    }

    /// The GNU build-id; `None` when the kernel was linked without one.
    ///
    /// # Errors
    /// When the note is malformed.
    pub fn build_id(&self) -> Result<Option<ElfBuildId>, ElfError> {
        self.object()?.build_id()
    }

    /// All symbols in the order of the symbol table, without the null symbol at its beginning.
    ///
    /// # Errors
    /// When a name lies outside the string table or is not UTF-8.
    pub fn symbols(&self) -> Result<Vec<Symbol<'_>>, ElfError> {
        symbol::symbols(&self.object()?).collect()
    }

    /// The sizes of structures in bytes, by name, as the debug information has them. Structures
    /// that the kernel does not have are missing in the answer; a search for one reads all of the
    /// debug information, so ask only for what the config says is there.
    ///
    /// # Errors
    /// When there is no debug information, or when it cannot be read.
    pub fn struct_sizes(&self, names: &[&str]) -> Result<BTreeMap<String, u64>, ElfError> {
        let sections = DebugSections::load(&self.object()?)?;
        let names: BTreeSet<&str> = names.iter().copied().collect();
        let names: Vec<&str> = names.into_iter().collect();
        struct_sizes::struct_sizes(&sections, &names, self.releaser(&sections))
    }

    /// The functions that do not begin with ENDBR64 once the kernel runs: by name and position among
    /// all symbols of that name, from 1, in the order of their addresses.
    ///
    /// # Errors
    /// When symbols or code cannot be read.
    pub fn functions_without_endbr(&self) -> Result<BTreeSet<(String, u64)>, ElfError> {
        vmlinux_branches::functions_without_endbr(&self.object()?)
    }

    /// The source files that were compiled into the kernel, relative to the root of its tree.
    ///
    /// # Errors
    /// As for [`Vmlinux::struct_sizes`].
    pub fn compile_units(&self) -> Result<BTreeSet<String>, ElfError> {
        let sections = DebugSections::load(&self.object()?)?;
        compile_units::compile_units(&sections, self.releaser(&sections))
    }

    /// The C files that compiled files include, each with the files that do, relative to the root
    /// of the tree. A file may be in [`Vmlinux::compile_units`] as well: then the kernel holds
    /// several copies of its code.
    ///
    /// # Errors
    /// As for [`Vmlinux::struct_sizes`].
    pub fn included_sources(&self) -> Result<BTreeMap<String, BTreeSet<String>>, ElfError> {
        let sections = DebugSections::load(&self.object()?)?;
        let mut budget = Budget::new(self.file.bytes().len());
        included_sources::included_sources(&sections, &mut budget, self.releaser(&sections))
    }

    /// All files that were compiled into the kernel and the C files that they include, each with the
    /// compiled files that hold its code: [`Vmlinux::compile_units`] and
    /// [`Vmlinux::included_sources`] by one walk, but with the compiled files spelled as the compiler
    /// was given them, an inner `..` included.
    ///
    /// # Errors
    /// As for [`Vmlinux::struct_sizes`].
    pub fn units_by_source(&self) -> Result<BTreeMap<String, BTreeSet<String>>, ElfError> {
        let sections = DebugSections::load(&self.object()?)?;
        let mut budget = Budget::new(self.file.bytes().len());
        included_sources::units_by_source(&sections, &mut budget, self.releaser(&sections))
    }

    /// The text of `/proc/version` (`Linux version 6.1.0-50-cloud-amd64 …`), without its newline.
    /// `None` when the symbol `linux_banner` is missing or does not point to a text.
    ///
    /// # Errors
    /// When the symbol table cannot be read.
    pub fn linux_banner(&self) -> Result<Option<String>, ElfError> {
        let object = self.object()?;
        let endian = object.elf.endian();
        let table = object.elf.elf_symbol_table();
        let is_banner = |name: &[u8]| name == b"linux_banner";
        let Some(symbol) = table
            .symbols()
            .iter()
            .find(|symbol| symbol.name(endian, table.strings()).is_ok_and(is_banner))
        else {
            return Ok(None);
        };
        let address = symbol.st_value(endian);
        let sections = object.elf.elf_section_table();
        let text = sections.iter().find_map(|header| {
            let at = address.checked_sub(header.sh_addr(endian))?;
            if header.sh_addr(endian) == 0 || at >= header.sh_size(endian) {
                return None;
            }
            let data = header.data(endian, self.file.bytes()).ok()?;
            data.get(usize::try_from(at).ok()?..)
        });
        let text = text.and_then(|text| {
            let text = &text[..text.len().min(BANNER_BYTES)];
            let end = text.iter().position(|byte| matches!(byte, 0 | b'\n'))?;
            std::str::from_utf8(&text[..end]).ok()
        });
        Ok(text.filter(|text| text.starts_with("Linux version ")).map(str::to_owned))
    }

    fn object(&self) -> Result<ObjectFile<'_>, ElfError> {
        ObjectFile::parse(self.file.bytes(), "vmlinux")
    }

    /// Gives the memory of debug information back while it is read from its beginning to its end.
    fn releaser(&self, sections: &DebugSections<'_>) -> impl FnMut(usize) {
        let start = sections.info_start;
        let mut released = 0;
        move |end| {
            if end - released >= RELEASE_BYTES {
                self.file.release(start + released..start + end);
                released = end;
            }
        }
    }
}
