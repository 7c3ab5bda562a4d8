//! Patches to headers: which compiled files may include one.
//!
//! In a built base Kbuild's records say which do. In a prepared one a look at the source says which
//! may; the compiler's own lists, written when the originals are compiled, say which do
//! (`engine/compile`).

mod fan_out;
mod graph;
mod include_lines;
mod missed;
mod records;

use std::collections::BTreeSet;

use elivepatch_model::{Failure, FailureClass};

pub(crate) use fan_out::{HeaderLimit, check_fan_out};
pub(crate) use graph::{INCLUDE_DIRECTORIES, IncludeGraph};
pub(crate) use include_lines::included_names;
pub(crate) use missed::Learned;
pub(crate) use records::units_by_records;

use crate::{
    base::{Base, SourceIndex},
    failures::io_failure,
    shared_file::{Flush, write_shared},
    unit::Unit,
};

/// Changes when includes are looked for in another way than before.
const VERSION: u32 = 3;

/// Whether a file is compiled only as a part of others.
pub(crate) fn is_header(path: &str) -> bool {
    path.ends_with(".h") || path.ends_with(".inc")
}

/// Which files of a base include which. It is found out once for a base, and kept beside it.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn include_graph(base: &Base) -> Result<IncludeGraph, Failure> {
    let path = base.includes(VERSION);
    if let Ok(text) = fs_err::read_to_string(&path) {
        return Ok(IncludeGraph::parse(&text));
    }
    let sources = base.sources()?;
    let units = sources.units();
    let graph = IncludeGraph::scan(&base.tree(), units.iter().map(|unit| unit.source.as_str()));
    // A graph that a power failure cut would miss files that include a header.
    write_shared(&path, graph.to_text().as_bytes(), Flush::First)
        .map_err(|error| io_failure(FailureClass::Internal, "write", &path, &error))?;
    Ok(graph)
}

/// The compiled files that may include `header`.
pub(crate) fn units_of_header(
    header: &str,
    graph: &IncludeGraph,
    sources: &SourceIndex,
) -> BTreeSet<Unit> {
    let dependents = graph.dependents(header);
    let units = sources.units().into_iter();
    units.filter(|unit| dependents.contains(unit.source.as_str())).cloned().collect()
}
