//! Objects of a prepared base that the look at the source did not find and the compiler's own lists
//! show.

use elivepatch_model::{BaseKind, BuildEvent, Failure, FailureClass, StepName};

use super::originals::originals;
use crate::{
    engine::KpatchEngine,
    headers::{Learned, include_graph, is_header, units_of_header},
    ownership::Units,
    unit::Unit,
};

/// Compiles the originals, and adds the objects that include a touched header by a way that only
/// the compiler's lists show; until they show nothing new. Without it such an object would keep its
/// copy of the header's code as it was. `check` is asked before more objects are compiled.
///
/// # Errors
/// `not-patchable` when it cannot be said how the compiler came to a file; those of `check` and of
/// compiling the originals.
pub(in crate::engine) fn with_missed_units(
    engine: &KpatchEngine,
    mut units: Units,
    check: &dyn Fn(&Units) -> Result<(), Failure>,
) -> Result<Units, Failure> {
    let headers: Vec<&str> =
        engine.touched.iter().map(String::as_str).filter(|file| is_header(file)).collect();
    // In a built base Kbuild's records said it before.
    let is_known = engine.base.facts().source.base_kind() == BaseKind::Built;
    if headers.is_empty() || is_known {
        return Ok(units);
    }
    let (tree, sources) = (engine.base.tree(), engine.base.sources()?);
    let mut graph = include_graph(engine.base)?;
    loop {
        let mut known: Vec<&Unit> = units.values().flatten().collect();
        known.retain(|unit| !engine.is_new(unit));
        known.sort_by_key(|unit| unit.object());
        known.dedup_by_key(|unit| unit.object());
        let originals = originals(engine, &known)?;
        let (mut learned, mut unexplained) = (false, None);
        for unit in known {
            let Some(original) = originals.get(&unit.object()) else { continue };
            let Some(command) = &original.command else { continue };
            match graph.learn(&tree, &unit.source, &command.dependencies, &headers) {
                Learned::Nothing => {}
                Learned::Includes => learned = true,
                Learned::Unexplained(file) => unexplained = Some((unit.source.clone(), file)),
            }
        }
        if !learned {
            // What one list leaves open, an include that another one shows may explain.
            return match unexplained {
                None => Ok(units),
                Some((source, file)) => Err(undecidable(&source, &file)),
            };
        }
        for header in &headers {
            let of_header = units.entry((*header).to_owned()).or_default();
            let before = of_header.len();
            of_header.extend(units_of_header(header, &graph, &sources));
            of_header.sort();
            of_header.dedup();
            let more = of_header.len() - before;
            if more == 0 {
                continue;
            }
            let line =
                format!("the compiler's lists show further ways to {header}: {more} more objects");
            engine.observer.event(BuildEvent::Log { step: StepName::Compile, line });
        }
        check(&units)?;
    }
}

fn undecidable(source: &str, file: &str) -> Failure {
    Failure::new(
        FailureClass::NotPatchable,
        format!(
            "{source} is compiled with {file}, which leads to a header of the patch, and no \
             #include says how: which other objects are, too, cannot be found out"
        ),
        "move the change of the header into the .c files that need it, and report this kernel",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecidable_include_is_refused_with_both_files() {
        let failure = undecidable("fs/c.c", "include/way.h");
        assert_eq!(failure.class, FailureClass::NotPatchable);
        assert!(failure.message.starts_with("fs/c.c is compiled with include/way.h,"));
    }
}
