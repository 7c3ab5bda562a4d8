use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ElfError,
    debug_sections::DebugSections,
    object_file::ObjectFile,
    source_path::{Tree, UnitPath, relative_to_tree},
    units::{Unit, for_each_unit},
};

/// A unit with the other C files that its line table names.
struct Including {
    unit: UnitPath,
    included: Vec<UnitPath>,
}

/// The C files that other C files include, with the units that do: each has a copy of the code.
/// `after_unit` is told where in `.debug_info` each unit ended.
pub(crate) fn included_sources(
    sections: &DebugSections<'_>,
    after_unit: impl FnMut(usize),
) -> Result<BTreeMap<String, BTreeSet<String>>, ElfError> {
    let mut all = Vec::new();
    for_each_unit(sections, after_unit, |unit| {
        if let Some(lines) = unit.lines {
            let included = other_c_files(sections, &unit, lines)?;
            all.push(Including { unit: UnitPath::new(unit.name, unit.directory), included });
        }
        Ok(())
    })?;
    let tree = Tree::of(all.iter().map(|including| &including.unit));
    let mut sources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Including { unit, included } in &all {
        let unit = tree.relative(unit);
        for file in included.iter().map(|file| tree.relative(file)).filter(|file| *file != unit) {
            sources.entry(file).or_default().insert(unit.clone());
        }
    }
    Ok(sources)
}

fn other_c_files(
    sections: &DebugSections<'_>,
    unit: &Unit<'_>,
    lines: usize,
) -> Result<Vec<UnitPath>, ElfError> {
    let offset = gimli::DebugLineOffset(lines);
    let program = sections.lines.program(offset, unit.address_size, None, None)?;
    let header = program.header();
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

/// The C files whose code a module holds, by its debug information: the paths of its units, and the
/// bare names of other C files that these include.
///
/// The names are taken from the string sections, without the structure around them: in a module
/// that structure has still to be relocated.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or a section lies outside of them.
pub fn module_sources(bytes: &[u8]) -> Result<BTreeSet<String>, ElfError> {
    let object = ObjectFile::parse(bytes, "the module")?;
    let mut paths = Vec::new();
    let mut names = BTreeSet::new();
    for section in [".debug_str", ".debug_line_str"] {
        let strings = object.section(section)?.unwrap_or_default();
        for text in strings.split(|byte| *byte == 0).filter(|text| text.ends_with(b".c")) {
            if text.contains(&b'/') {
                paths.push(UnitPath::new(text, b""));
            } else {
                names.insert(String::from_utf8_lossy(text).into_owned());
            }
        }
    }
    let mut sources = relative_to_tree(&paths);
    // Line tables name the units themselves once more, without their directories.
    let of_units: BTreeSet<&str> =
        sources.iter().filter_map(|path| path.rsplit('/').next()).collect();
    names.retain(|name| !of_units.contains(name.as_str()));
    sources.extend(names);
    Ok(sources)
}
