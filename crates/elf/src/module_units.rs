//! The compiled files of a loadable module, by its debug information.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ElfError,
    budget::Budget,
    debug_sections::{Content, DebugSections, STRING_OFFSETS},
    included_sources::units_by_source,
    object_file::ObjectFile,
    relocated::{relocated, relocated_if_there},
};

/// The C and assembly files whose code a module holds, each with the compiled files that it ended up
/// in: the file itself, or those that include it. Paths are relative to the root of the kernel tree;
/// those of compiled files are spelled as the compiler was given them, an inner `..` included.
///
/// Without the file that modpost writes for each module (`NAME.mod.c`).
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, when there is no debug information, or when it
/// cannot be read. The work is bounded by the number of bytes.
pub fn module_units(bytes: &[u8]) -> Result<BTreeMap<String, BTreeSet<String>>, ElfError> {
    let object = ObjectFile::parse(bytes, "the module")?;
    let mut budget = Budget::new(bytes.len());
    let info = relocated(&object, ".debug_info", &mut budget)?;
    let lines = relocated(&object, ".debug_line", &mut budget)?;
    let string_offsets = relocated_if_there(&object, STRING_OFFSETS, &mut budget)?;
    let content = Content { info: &info, lines: &lines, string_offsets: &string_offsets };
    let sections = DebugSections::relocated(&object, content)?;
    let mut sources = units_by_source(&sections, &mut budget, |_| {})?;
    let is_code =
        |path: &str| (path.ends_with(".c") || path.ends_with(".S")) && !path.ends_with(".mod.c");
    sources.retain(|source, units| {
        units.retain(|unit| is_code(unit));
        is_code(source) && !units.is_empty()
    });
    Ok(sources)
}
