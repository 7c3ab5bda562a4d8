//! Where the code of a source file ends up in the target: in vmlinux, in a module, or nowhere.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use elivepatch_model::{BaseKind, Failure, FailureClass};

use crate::{
    base::{Base, SourceIndex},
    headers::{include_graph, is_header, units_by_records, units_of_header},
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
    let headers: BTreeSet<&str> =
        files.iter().map(String::as_str).filter(|file| is_header(file)).collect();
    let mut of_headers = units_of_headers(&headers, base, &index)?;
    files
        .iter()
        .map(|file| {
            let mut units = index.units_of(file);
            if let Some(of_header) = of_headers.remove(file) {
                units.extend(of_header);
                units.sort();
                units.dedup();
            }
            Ok((file.clone(), units_of(file, units, base)?))
        })
        .collect()
}

/// The compiled files that include each header: in a built base those that did when it was built,
/// in a prepared one those that may.
fn units_of_headers(
    headers: &BTreeSet<&str>,
    base: &Base,
    index: &SourceIndex,
) -> Result<BTreeMap<String, BTreeSet<Unit>>, Failure> {
    if headers.is_empty() {
        return Ok(BTreeMap::new());
    }
    match base.facts().source.base_kind() {
        BaseKind::Built => units_by_records(headers, &base.tree(), index),
        BaseKind::Prepared => {
            let graph = include_graph(base)?;
            let units =
                |header: &&str| ((*header).to_owned(), units_of_header(header, &graph, index));
            Ok(headers.iter().map(units).collect())
        }
    }
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
