use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ElfError,
    budget::Budget,
    debug_sections::DebugSections,
    source_path::{Tree, UnitPath},
    units::{Unit, for_each_unit},
};

/// A unit with the other C files that its line table names.
struct Including {
    unit: UnitPath,
    included: Vec<UnitPath>,
}

/// The C files that other C files include, with the units that do: each has a copy of the code.
/// `after_unit` is told where in `.debug_info` each unit ended; what is read is taken from `budget`.
pub(crate) fn included_sources(
    sections: &DebugSections<'_>,
    budget: &mut Budget,
    after_unit: impl FnMut(usize),
) -> Result<BTreeMap<String, BTreeSet<String>>, ElfError> {
    let all = read_all(sections, budget, after_unit)?;
    let (tree, mut sources) = (tree_of(&all), BTreeMap::new());
    add_included(&all, &tree, &mut sources);
    Ok(sources)
}

/// All files with the units that hold their code: those that are compiled, and the C files that
/// these include. The units are spelled as the compiler was given them (see [`Tree::spelled`]), the
/// files are not. What is read is taken from `budget`.
pub(crate) fn units_by_source(
    sections: &DebugSections<'_>,
    budget: &mut Budget,
    after_unit: impl FnMut(usize),
) -> Result<BTreeMap<String, BTreeSet<String>>, ElfError> {
    let all = read_all(sections, budget, after_unit)?;
    let tree = tree_of(&all);
    let mut sources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for unit in all.iter().map(|including| &including.unit) {
        let source = tree.relative(unit);
        if !source.is_empty() {
            sources.entry(source).or_default().insert(tree.spelled(unit));
        }
    }
    for Including { unit, included } in &all {
        let source = tree.relative(unit);
        for file in included.iter().map(|file| tree.relative(file)).filter(|file| *file != source) {
            sources.entry(file).or_default().insert(tree.spelled(unit));
        }
    }
    Ok(sources)
}

/// One walk over all units.
fn read_all(
    sections: &DebugSections<'_>,
    budget: &mut Budget,
    after_unit: impl FnMut(usize),
) -> Result<Vec<Including>, ElfError> {
    let mut all = Vec::new();
    for_each_unit(sections, after_unit, |unit| {
        all.push(Including::read(sections, &unit, budget)?);
        Ok(())
    })?;
    Ok(all)
}

impl Including {
    fn read(
        sections: &DebugSections<'_>,
        unit: &Unit<'_>,
        budget: &mut Budget,
    ) -> Result<Self, ElfError> {
        // Hostile units may all have the same long names and the same long line table.
        budget.take_text(unit.name)?;
        budget.take_text(unit.directory)?;
        let included = match unit.lines {
            Some(lines) => other_c_files(sections, unit, lines, budget)?,
            None => Vec::new(),
        };
        Ok(Self { unit: UnitPath::new(unit.name, unit.directory), included })
    }
}

fn tree_of(all: &[Including]) -> Tree {
    Tree::of(all.iter().map(|including| &including.unit))
}

fn add_included(all: &[Including], tree: &Tree, sources: &mut BTreeMap<String, BTreeSet<String>>) {
    for Including { unit, included } in all {
        let unit = tree.relative(unit);
        for file in included.iter().map(|file| tree.relative(file)).filter(|file| *file != unit) {
            sources.entry(file).or_default().insert(unit.clone());
        }
    }
}

fn other_c_files(
    sections: &DebugSections<'_>,
    unit: &Unit<'_>,
    lines: usize,
    budget: &mut Budget,
) -> Result<Vec<UnitPath>, ElfError> {
    let offset = gimli::DebugLineOffset(lines);
    let program = sections.lines.program(offset, unit.address_size, None, None)?;
    let header = program.header();
    budget.take_line_table(header.header_length())?;
    let mut files = Vec::new();
    for file in header.file_names() {
        let name = sections.text(file.path_name())?;
        if !name.ends_with(b".c") {
            continue;
        }
        let mut path = match file.directory(header) {
            Some(place) if !name.starts_with(b"/") => sections.text(place)?.to_vec(),
            _ => Vec::new(),
        };
        // The directory of the compilation itself is the first one.
        if path == unit.directory {
            path.clear();
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        if path != unit.name {
            files.push(UnitPath::new(&path, unit.directory));
        }
    }
    Ok(files)
}
