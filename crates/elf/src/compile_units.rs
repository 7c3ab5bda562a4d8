use std::collections::BTreeSet;

use gimli::{DW_AT_comp_dir, DW_AT_name, DW_TAG_compile_unit};

use crate::{
    ElfError,
    debug_sections::DebugSections,
    source_path::{self, UnitPath},
};

/// The source files that were compiled, as paths in the kernel tree. `after_unit` is told where in
/// `.debug_info` each unit ended.
pub(crate) fn compile_units(
    sections: &DebugSections<'_>,
    mut after_unit: impl FnMut(usize),
) -> Result<BTreeSet<String>, ElfError> {
    let mut paths = Vec::new();
    let mut end = 0;
    let mut units = sections.info.units();
    while let Some(unit) = units.next()? {
        let abbreviations = unit.abbreviations(&sections.abbreviations)?;
        let root = unit.entry(&abbreviations, unit.root_offset())?;
        if root.tag() == DW_TAG_compile_unit
            && let Some(name) = root.attr_value_raw(DW_AT_name)
        {
            let directory = match root.attr_value_raw(DW_AT_comp_dir) {
                Some(value) => sections.text(value)?,
                None => b"",
            };
            paths.push(UnitPath::new(sections.text(name)?, directory));
        }
        end += unit.length_including_self();
        after_unit(end);
    }
    Ok(source_path::relative_to_tree(&paths))
}
