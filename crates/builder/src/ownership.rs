//! Where the code of a source file ends up in the target: in vmlinux, in a module, or nowhere.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use elivepatch_model::{BaseKind, Failure, FailureClass};

use crate::{
    adapt::{KernelParts, NewIncludes},
    base::{Base, SourceIndex},
    failures::io_failure,
    headers::{include_graph, is_header, units_by_records, units_of_header},
    unit::{Parent, Unit},
};

/// The compiled files that hold the code of each touched file: the file itself, and
/// every file that includes it, each with what its object is linked into. All of them have to be
/// compiled again, or a copy of the code would stay as it was.
pub(crate) type Units = BTreeMap<String, Vec<Unit>>;

/// Headers of the tools that kernel/bpf/preload/Makefile has searched (`LIBBPF_INCLUDE`), and what is
/// compiled there.
const TOOLS_LIBRARY: &str = "tools/lib/";
const BPF_PRELOAD: &str = "kernel/bpf/preload/";

/// Finds the compiled files that the touched files are part of. A file that only the fixes themselves
/// begin to include may have none.
///
/// # Errors
/// `code-not-built` when neither vmlinux nor a module holds code of a file, `patch-does-not-apply`
/// when there is no such file in the source.
pub(crate) fn find_units(
    files: &[String],
    new_includes: &NewIncludes,
    base: &Base,
) -> Result<Units, Failure> {
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
            match units.is_empty() && new_includes.may_mean(file) {
                true => Ok((file.clone(), units)),
                false => Ok((file.clone(), units_of(file, units, base)?)),
            }
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
            let units = |header: &&str| {
                let mut units = units_of_header(header, &graph, index);
                // The Makefile there has the directory searched, of which the graph knows nothing.
                if header.starts_with(TOOLS_LIBRARY) {
                    let all = index.units().into_iter();
                    units.extend(all.filter(|unit| unit.source.starts_with(BPF_PRELOAD)).cloned());
                }
                ((*header).to_owned(), units)
            };
            Ok(headers.iter().map(units).collect())
        }
    }
}

fn units_of(file: &str, units: Vec<Unit>, base: &Base) -> Result<Vec<Unit>, Failure> {
    if !is_regular_file(&base.tree(), file) {
        let source = format!("the source of {}", base.facts().source.name());
        return Err(no_such_file(file, &source));
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

/// The failure of a patch to a file that is not there.
pub(crate) fn no_such_file(file: &str, source: &str) -> Failure {
    Failure::new(
        FailureClass::PatchDoesNotApply,
        format!("there is no file {file} in {source}"),
        "the path must be that of the target's source, behind one directory (a/ and b/, as git \
         writes them)",
    )
}

impl KernelParts for Base {
    fn readers(&self, files: &BTreeSet<&str>) -> Result<BTreeMap<String, BTreeSet<Unit>>, Failure> {
        let index = self.sources()?;
        // A C file is found by the code that it gives; what else is included gives none by itself.
        let included = files.iter().filter(|file| !file.ends_with(".c")).copied().collect();
        let mut readers = units_of_headers(&included, self, &index)?;
        for file in files {
            readers.entry((*file).to_owned()).or_default().extend(index.units_of(file));
        }
        Ok(readers)
    }

    fn has_symbol(&self, names: &BTreeSet<String>, directory: &str) -> Result<bool, Failure> {
        let index = self.sources()?;
        let units = index.units().into_iter();
        let beside = units.filter(|unit| {
            unit.source.rsplit_once('/').is_some_and(|(of_unit, _)| of_unit == directory)
        });
        let parents: BTreeSet<&Parent> =
            beside.map(|unit| &unit.parent).chain([&Parent::Vmlinux]).collect();
        for parent in parents {
            let path = match parent {
                Parent::Vmlinux => self.symbol_table(),
                Parent::Module(module) => self.module_symbols(module)?,
            };
            let table = fs_err::read(&path)
                .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error))?;
            let table = String::from_utf8_lossy(&table);
            let mut symbols = table.lines().filter_map(|line| line.split_ascii_whitespace().last());
            if symbols.any(|symbol| names.contains(symbol)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
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
