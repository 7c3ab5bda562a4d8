use elivepatch_model::{Failure, FailureClass, StepName};

use super::{
    KlpEngine, OBJTOOL, ORIGINALS,
    correlation::{Said, Symbols},
    objects::Objects,
    parents::Parents,
    static_locals, traceable,
};
use crate::{
    base::WORK,
    engine::{ChangedObject, messages::tool_failure, runtime_constants},
    unit::{Parent, Unit},
};

/// Compares an original with the patched object. A module's original has no checksums yet: only
/// those that are patched need them. objtool knows vmlinux.o by its name, and the image beside it.
const DIFF: &str = r#"
set -e
original=$1 object=$2 output=$3 objtool=$4 kept=$5
mkdir -p "$(dirname "$output")"
if [ "$object" != vmlinux.o ]; then
    original=/scratch/original/$object
    mkdir -p "$(dirname "$original")"
    cp "$kept/$object" "$original"
    "$objtool" klp checksum "$original"
fi
exec "$objtool" klp diff "$original" "$object" "$output"
"#;

pub(super) fn diff(
    engine: &KlpEngine,
    units: &[Unit],
    parents: &Parents,
) -> Result<Vec<ChangedObject>, Failure> {
    let symbols = Symbols::read(engine, units)?;
    let mut changed = Vec::new();
    for (parent, object) in parents.iter() {
        let output = format!("{WORK}/diff/{object}");
        let said = diff_object(engine, parent, object, &output)?;
        let units: Vec<&Unit> = units.iter().filter(|unit| unit.parent == *parent).collect();
        symbols.check(&said, &units, object)?;
        for unit in &units {
            look_at_unit(engine, unit, &said)?;
        }
        let holds_some = |unit: &&&Unit| symbols.hold_one_of(unit, &said.functions);
        let units = units.iter().filter(holds_some);
        changed.extend(
            units.map(|unit| ChangedObject { unit: (*unit).clone(), inside: output.clone() }),
        );
    }
    if changed.is_empty() {
        return Err(Failure::new(
            FailureClass::NoFunctionalChange,
            "the patch changes no function: the compiled code is the same with and without it",
            "look whether the changed lines are compiled with this config",
        ));
    }
    Ok(changed)
}

/// Looks at what objtool does not, in the unit's own objects.
fn look_at_unit(engine: &KlpEngine, unit: &Unit, said: &Said) -> Result<(), Failure> {
    runtime_constants::check(&engine.input, unit, &said.functions)?;
    let objects = Objects::of(engine, unit)?;
    traceable::check(&objects, &unit.parent, &said.changed)?;
    static_locals::check(&objects)
}

fn diff_object(
    engine: &KlpEngine,
    parent: &Parent,
    object: &str,
    output: &str,
) -> Result<Said, Failure> {
    let original = format!("{ORIGINALS}/{object}");
    let kept = engine.originals.view().shown_at(super::KEPT);
    let arguments = [original.as_str(), object, output, OBJTOOL, &kept];
    let finished = engine.script(DIFF, &arguments, StepName::Diff)?;
    if !finished.succeeded() {
        return Err(tool_failure("objtool", parent.name(), &finished));
    }
    Ok(Said::read(&finished.text()))
}
