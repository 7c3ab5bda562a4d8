//! Where the code of a source file ends up in the target: in vmlinux, in a module, or nowhere.

use std::collections::BTreeMap;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

use crate::{
    base::Base,
    headers::{include_graph, is_header, units_of_header},
    unit::Unit,
};

/// The compiled files that hold the code of each touched file: the file itself, and
/// every file that includes it, each with what its object is linked into. All of them have to be
/// compiled again, or a copy of the code would stay as it was.
pub(crate) type Units = BTreeMap<String, Vec<Unit>>;

/// Finds the compiled files that the touched files are part of.
///
/// # Errors
/// `code-not-built` when neither vmlinux nor a module holds code of a file, `patch-does-not-apply`
/// when there is no such file in the source.
pub(crate) fn find_units(files: &[String], base: &Base) -> Result<Units, Failure> {
    let index = base.sources()?;
    let includes = match files.iter().any(|file| is_header(file)) {
        true => Some(include_graph(base)?),
        false => None,
    };
    files
        .iter()
        .map(|file| {
            let mut units = index.units_of(file);
            if let Some(graph) = includes.as_ref().filter(|_| is_header(file)) {
                units.extend(units_of_header(file, graph, &index));
                units.sort();
                units.dedup();
            }
            Ok((file.clone(), units_of(file, units, base)?))
        })
        .collect()
}

fn units_of(file: &str, units: Vec<Unit>, base: &Base) -> Result<Vec<Unit>, Failure> {
    if !is_regular_file(&base.tree(), file) {
        return Err(Failure::new(
            FailureClass::PatchDoesNotApply,
            format!("there is no file {file} in the source of {}", base.facts().source.name()),
            "the path must be that of the target's source, behind one directory (a/ and b/, as \
             git writes them)",
        ));
    }
    if units.is_empty() {
        return Err(Failure::new(
            FailureClass::CodeNotBuilt,
            format!(
                "neither vmlinux nor a module of {} holds code of {file}: its config leaves it out",
                base.facts().release
            ),
            "this kernel does not contain the code, so it needs no fix there",
        ));
    }
    Ok(units)
}

/// Whether the tree has the file, with no symbolic link on the way to it.
pub(crate) fn is_regular_file(tree: &Utf8Path, file: &str) -> bool {
    let mut path = tree.to_owned();
    let mut parts = file.split('/').peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let Ok(metadata) = path.symlink_metadata() else { return false };
        let expected = if parts.peek().is_some() { metadata.is_dir() } else { metadata.is_file() };
        if !expected {
            return false;
        }
    }
    true
}
