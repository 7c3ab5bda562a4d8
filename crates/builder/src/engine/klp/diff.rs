use std::collections::BTreeSet;

use elivepatch_model::{Failure, FailureClass, StepName};

use super::{KlpEngine, OBJTOOL, ORIGINALS, parents::Parents};
use crate::{
    base::WORK,
    engine::{ChangedObject, messages::tool_failure},
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

/// Lists the symbols of each object, behind a line with its path and a colon.
const SYMBOLS: &str = r#"
set -e
for object; do
    echo "$object:"
    nm --defined-only --just-symbols "$object"
done > /scratch/symbols
"#;

/// The largest list of symbols, in bytes.
const SYMBOLS_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn diff(
    engine: &KlpEngine,
    units: &[Unit],
    parents: &Parents,
) -> Result<Vec<ChangedObject>, Failure> {
    let symbols = Symbols::read(engine, units)?;
    let mut changed = Vec::new();
    for (parent, object) in parents.iter() {
        let output = format!("{WORK}/diff/{object}");
        let functions = diff_object(engine, parent, object, &output)?;
        let holds_some = |unit: &&Unit| {
            unit.parent == *parent
                && symbols.of(&unit.object()).any(|name| functions.contains(name))
        };
        let units = units.iter().filter(holds_some);
        changed
            .extend(units.map(|unit| ChangedObject { unit: unit.clone(), inside: output.clone() }));
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

/// The names of the functions that objtool found changed or new.
fn diff_object(
    engine: &KlpEngine,
    parent: &Parent,
    object: &str,
    output: &str,
) -> Result<BTreeSet<String>, Failure> {
    let original = format!("{ORIGINALS}/{object}");
    let kept = engine.originals.view().shown_at(super::KEPT);
    let arguments = [original.as_str(), object, output, OBJTOOL, &kept];
    let finished = engine.script(DIFF, &arguments, StepName::Diff)?;
    if !finished.succeeded() {
        return Err(tool_failure("objtool", parent.name(), &finished));
    }
    Ok(functions(&finished.text()))
}

/// Reads objtool's lines `OBJECT: changed function: NAME` and `OBJECT: new function: NAME`.
fn functions(text: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let (_, name) = line
            .split_once(": changed function: ")
            .or_else(|| line.split_once(": new function: "))?;
        Some(name.trim().to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// The symbols of the compiled units.
struct Symbols(String);

impl Symbols {
    fn read(engine: &KlpEngine, units: &[Unit]) -> Result<Self, Failure> {
        let objects: Vec<String> = units.iter().map(Unit::object).collect();
        let arguments: Vec<&str> = objects.iter().map(String::as_str).collect();
        let finished = engine.script(SYMBOLS, &arguments, StepName::Diff)?;
        if !finished.succeeded() {
            return Err(tool_failure("nm", "the patched objects", &finished));
        }
        let list = engine.view.take_output("symbols", SYMBOLS_BYTES, FailureClass::Internal)?;
        Ok(Self(String::from_utf8_lossy(&list).into_owned()))
    }

    fn of<'a>(&'a self, object: &str) -> impl Iterator<Item = &'a str> {
        let heading = format!("{object}:");
        let lines = self.0.lines().skip_while(move |line| *line != heading).skip(1);
        lines.take_while(|line| !line.ends_with(':'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_and_new_functions_are_read_and_nothing_else() {
        let text = "vmlinux.o: new function: helper\nvmlinux.o: changed function: f.isra.0\n\
                    warning: objtool: no correlation: changed function\n";
        assert_eq!(functions(text).into_iter().collect::<Vec<_>>(), ["f.isra.0", "helper"]);
    }

    #[test]
    fn symbols_belong_to_the_object_before_them() {
        let symbols = Symbols("fs/a.o:\nf\ng\nfs/b.o:\nh\nfs/c.o:\n".to_owned());
        assert_eq!(symbols.of("fs/a.o").collect::<Vec<_>>(), ["f", "g"]);
        assert_eq!(symbols.of("fs/b.o").collect::<Vec<_>>(), ["h"]);
        assert_eq!(symbols.of("fs/c.o").count() + symbols.of("fs/d.o").count(), 0);
    }
}
