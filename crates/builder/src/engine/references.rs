//! What engines say that a livepatch takes from the kernel, with the files that it is for.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_elf::{KpatchObject, Module, object_symbols};
use elivepatch_model::{Failure, FailureClass};

use super::{ChangedObject, KpatchEngine, OBJECT_BYTES, compile::original_objects};
use crate::{
    failures::internal,
    symbols::{CompiledFile, References},
    unit::{Parent, Unit},
    untrusted_file::read_untrusted_below,
};

/// For the kpatch engine: each changed object says it.
///
/// # Errors
/// When objects cannot be read.
pub(super) fn of_objects(
    engine: &KpatchEngine,
    changed: &[ChangedObject],
) -> Result<Vec<References>, Failure> {
    let references = |object: &ChangedObject| {
        let KpatchObject { functions, symbols, .. } = read_changed(engine, object)?;
        Ok(References {
            parent: object.unit.parent.clone(),
            files: vec![compiled_file(engine, &object.unit)?],
            functions: functions.into_iter().collect(),
            symbols,
        })
    };
    changed.iter().map(references).collect()
}

/// For the klp-build engine: the module says it, for all changed objects of a parent together.
///
/// # Errors
/// When objects cannot be read.
pub(super) fn of_module(
    engine: &KpatchEngine,
    changed: &[ChangedObject],
    module: &Module,
) -> Result<Vec<References>, Failure> {
    let mut by_parent: BTreeMap<&Parent, References> = BTreeMap::new();
    for object in changed {
        let parent = &object.unit.parent;
        let references = by_parent.entry(parent).or_insert_with(|| References {
            parent: parent.clone(),
            files: Vec::new(),
            functions: BTreeSet::new(),
            symbols: BTreeSet::new(),
        });
        references.files.push(compiled_file(engine, &object.unit)?);
    }
    let mut all: Vec<References> = by_parent.into_values().collect();
    for function in &module.replaced_functions {
        if let Some(references) = of_object(&mut all, &function.object) {
            references.functions.insert(function.clone());
        }
    }
    // Whichever code uses it: where it is static, it is so in the object that has it.
    for symbol in module.livepatch_relocations.iter().flat_map(|section| &section.symbols) {
        let at = all.iter().position(|one| one.parent.name() == symbol.object).unwrap_or_default();
        if let Some(references) = all.get_mut(at) {
            references.symbols.insert(symbol.clone());
        }
    }
    Ok(all)
}

fn of_object<'a>(all: &'a mut [References], object: &str) -> Option<&'a mut References> {
    all.iter_mut().find(|references| references.parent.name() == object)
}

/// Reads create-diff-object's output.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read_changed(
    engine: &KpatchEngine,
    object: &ChangedObject,
) -> Result<KpatchObject, Failure> {
    let name = object.inside.rsplit('/').next().unwrap_or_default();
    let bytes = engine.patched.take_output(name, OBJECT_BYTES, FailureClass::LinkFailed)?;
    KpatchObject::read(&bytes).map_err(|error| internal(format!("{}: {error}", object.inside)))
}

/// What a unit defined before the fixes.
fn compiled_file(engine: &KpatchEngine, unit: &Unit) -> Result<CompiledFile, Failure> {
    let source = unit.source.clone();
    if engine.is_new(unit) {
        return Ok(CompiledFile { source, symbols: Vec::new() });
    }
    let object = unit.object();
    let failed = |error: String| internal(format!("the original of {object}: {error}"));
    let bytes = read_untrusted_below(&original_objects(engine), &object, OBJECT_BYTES)
        .map_err(|error| failed(error.to_string()))?;
    let symbols = object_symbols(&bytes).map_err(|error| failed(error.to_string()))?;
    Ok(CompiledFile { source, symbols })
}
