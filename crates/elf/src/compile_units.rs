use std::collections::BTreeSet;

use crate::{
    ElfError,
    debug_sections::DebugSections,
    source_path::{self, UnitPath},
    units::for_each_unit,
};

/// The source files that were compiled, as paths in the kernel tree. `after_unit` is told where in
/// `.debug_info` each unit ended.
pub(crate) fn compile_units(
    sections: &DebugSections<'_>,
    after_unit: impl FnMut(usize),
) -> Result<BTreeSet<String>, ElfError> {
    let mut paths = Vec::new();
    for_each_unit(sections, after_unit, |unit| {
        paths.push(UnitPath::new(unit.name, unit.directory));
        Ok(())
    })?;
    Ok(source_path::relative_to_tree(&paths))
}
