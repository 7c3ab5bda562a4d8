//! What can be said of original and patched objects before kpatch's tools look at them: which of
//! them hold the same code, and whether the layout of a data structure changed, which kpatch does
//! not see.

use std::collections::BTreeSet;

use elivepatch_elf::{Layouts, ModuleSymvers, SignatureChange, same_code};
use elivepatch_model::{Failure, FailureClass};
use elivepatch_patch::cannot_be_compared;

use super::{
    KpatchEngine,
    compile::{OBJECT_BYTES, original_objects, original_of},
    on_all_cores::on_all_cores,
};
use crate::{
    failures::{internal, io_failure},
    unit::Unit,
};

/// Layout changes that a failure lists.
const LISTED: usize = 20;

/// The units whose objects differ in more than debug information; new ones among them.
///
/// # Errors
/// `data-structure-changed`; `exported-signature-changed`; `config-unsupported` when the debug information cannot be read.
pub(super) fn changed_units(engine: &KpatchEngine, units: &[Unit]) -> Result<Vec<Unit>, Failure> {
    let results = on_all_cores(engine.make.jobs(), units, |unit| compare(engine, unit));
    let (mut changed, mut layouts) = (Vec::new(), BTreeSet::new());
    let mut signatures = Vec::new();
    for (unit, result) in units.iter().zip(results) {
        let compared = result?;
        if compared.differs {
            changed.push(unit.clone());
        }
        layouts.extend(compared.layout_changes);
        signatures.extend(compared.signature_changes);
    }
    if !layouts.is_empty() {
        return Err(structure_changed(layouts));
    }
    refuse_exported(engine, signatures)?;
    Ok(changed)
}

/// Refuses changed functions that any module may call, also one that the patch does not reach.
fn refuse_exported(engine: &KpatchEngine, changes: Vec<SignatureChange>) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(());
    }
    let symvers = ModuleSymvers::parse(&engine.base.module_symvers()?)
        .map_err(|error| internal(format!("the base's Module.symvers: {error}")))?;
    let Some(change) = changes.iter().find(|change| symvers.get(&change.function).is_some()) else {
        return Ok(());
    };
    let SignatureChange { function, old, new } = change;
    Err(Failure::new(
        FailureClass::ExportedSignatureChanged,
        format!("the exported function {function} was {old} and becomes {new}"),
        "modules that are not compiled with the patch would call it as before: keep it, and add a \
         new function under another name (docs/patchability.md#exported-signature)",
    ))
}

#[derive(Default)]
struct Compared {
    differs: bool,
    layout_changes: Vec<String>,
    signature_changes: Vec<SignatureChange>,
}

fn compare(engine: &KpatchEngine, unit: &Unit) -> Result<Compared, Failure> {
    let object = unit.object();
    let is_new = engine.is_new(unit);
    if !is_new {
        // It was there when the patched object was compiled.
        let original = original_of(engine, &object).ok_or_else(|| lost(&object))?;
        if !original.is_affected(engine.touched) {
            return Ok(Compared::default());
        }
    }
    let patched = engine
        .patched
        .read_made(&object, OBJECT_BYTES)
        .map_err(|error| internal(format!("{object} was compiled and cannot be read: {error}")))?;
    if is_new {
        return Ok(Compared { differs: true, ..Compared::default() });
    }
    let path = original_objects(engine).join(&object);
    let original = fs_err::read(&path)
        .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error))?;
    if original == patched {
        return Ok(Compared::default());
    }
    let unreadable = |error: elivepatch_elf::ElfError| {
        Failure::new(
            FailureClass::ConfigUnsupported,
            format!("the layouts of data structures in {object} cannot be compared: {error}"),
            "the kernel must be built with DEBUG_INFO, and without compressing or splitting it",
        )
    };
    let differs = !same_code(&original, &patched).map_err(unreadable)?;
    if let Some(reason) = cannot_be_compared(&unit.source).filter(|_| differs) {
        return Err(unpatchable(unit, reason));
    }
    if unit.source.ends_with(".S") {
        return Ok(Compared::default());
    }
    let old = Layouts::read(&original).map_err(unreadable)?;
    let new = Layouts::read(&patched).map_err(unreadable)?;
    let layout_changes = old.changes(&new).iter().map(ToString::to_string).collect();
    let signature_changes = old.signature_changes(&new);
    Ok(Compared { differs, layout_changes, signature_changes })
}

/// An original that the store of the base had and has no more.
fn lost(object: &str) -> Failure {
    Failure::new(
        FailureClass::BaseFailed,
        format!("the original of {object} was removed or damaged while the build used it"),
        "submit the build again: the original is compiled anew; clean the cache only while the \
         server is stopped",
    )
}

/// A unit that a touched header changes, of a kind that the patch itself could not touch.
fn unpatchable(unit: &Unit, reason: &str) -> Failure {
    let class = match unit.source.ends_with(".S") {
        true => FailureClass::PatchAssembly,
        false => FailureClass::PatchUnpatchableCode,
    };
    Failure::new(
        class,
        format!("the patched header changes the code of {}, which {reason}", unit.source),
        "move the change of the header into the .c files that need it",
    )
}

fn structure_changed(changes: BTreeSet<String>) -> Failure {
    let mut lines: Vec<String> = changes.into_iter().collect();
    let more = lines.len().saturating_sub(LISTED);
    let message = match lines.len() {
        1 => format!("the patch changes a data structure: {}", lines[0]),
        _ => format!("the patch changes data structures: {}, and more", lines[0]),
    };
    lines.truncate(LISTED);
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    Failure::new(
        FailureClass::DataStructureChanged,
        message,
        "memory that the running kernel laid out in the old way would be read in the new one: keep \
         the structure as it is, and new data in a shadow variable (klp_shadow_alloc)",
    )
    .with_details(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_changes_are_listed_up_to_a_limit() {
        let changes =
            |count: usize| (0..count).map(|number| format!("struct s{number:02}")).collect();
        let one = structure_changed(changes(1));
        assert_eq!(one.message, "the patch changes a data structure: struct s00");
        let many = structure_changed(changes(25));
        assert_eq!(many.class, FailureClass::DataStructureChanged);
        assert_eq!(many.details.len(), 21);
        assert_eq!(many.details[20], "… and 5 more");
    }
}
