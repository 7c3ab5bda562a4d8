use gimli::{AttributeValue, DW_AT_comp_dir, DW_AT_name, DW_AT_stmt_list, DW_TAG_compile_unit};

use crate::{ElfError, debug_sections::DebugSections};

/// What the debug information says of one compiled file.
pub(crate) struct Unit<'data> {
    /// Its name, as the compiler was called with.
    pub(crate) name: &'data [u8],
    /// The directory that the compiler ran in; empty when unknown.
    pub(crate) directory: &'data [u8],
    /// Where its line table begins in `.debug_line`.
    pub(crate) lines: Option<usize>,
    /// The size of an address, in bytes.
    pub(crate) address_size: u8,
}

/// Calls `visit` for each compiled file. `after_unit` is told where in `.debug_info` each unit
/// ended.
pub(crate) fn for_each_unit<'data>(
    sections: &DebugSections<'data>,
    mut after_unit: impl FnMut(usize),
    mut visit: impl FnMut(Unit<'data>) -> Result<(), ElfError>,
) -> Result<(), ElfError> {
    let mut end = 0;
    let mut units = sections.info.units();
    while let Some(unit) = units.next()? {
        let abbreviations = unit.abbreviations(&sections.abbreviations)?;
        let root = unit.entry(&abbreviations, unit.root_offset())?;
        if root.tag() == DW_TAG_compile_unit
            && let Some(name) = root.attr_value_raw(DW_AT_name)
        {
            let bases = sections.bases(&unit, &abbreviations)?;
            let directory = match root.attr_value_raw(DW_AT_comp_dir) {
                Some(value) => sections.text_in(&bases, value)?,
                None => b"",
            };
            let lines = match root.attr_value(DW_AT_stmt_list) {
                Some(AttributeValue::DebugLineRef(offset)) => Some(offset.0),
                Some(AttributeValue::SecOffset(offset)) => Some(offset),
                _ => None,
            };
            let name = sections.text_in(&bases, name)?;
            visit(Unit { name, directory, lines, address_size: unit.address_size() })?;
        }
        end += unit.length_including_self();
        after_unit(end);
    }
    Ok(())
}
