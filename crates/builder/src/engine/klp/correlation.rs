//! What objtool says of a comparison, held against the objects that were compiled: it compares whole
//! linked objects, and goes on where it cannot tell which symbol of the one is which of the other.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_model::{Failure, FailureClass, StepName};

use super::{KEPT, KlpEngine};
use crate::{engine::messages::tool_failure, failures::internal, unit::Unit};

/// Lists the symbols of each object, behind a line with its path and a colon; those of the original
/// have a colon before the path, too.
const SYMBOLS: &str = r#"
set -e
kept=$1
shift
for object; do
    echo "$object:"
    nm --defined-only --format=posix "$object"
    echo ":$object:"
    nm --defined-only --format=posix "$kept/$object"
done > /scratch/symbols
"#;

/// The largest list of symbols, in bytes.
const SYMBOLS_BYTES: u64 = 64 * 1024 * 1024;

/// The names in objtool's messages on one linked object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The functions that are changed or new.
    pub functions: BTreeSet<String>,
    /// Those that are changed.
    pub changed: BTreeSet<String>,
    /// The symbols of the original that it finds in the patched object no more.
    uncorrelated: BTreeSet<String>,
}

impl Said {
    /// Reads the lines `OBJECT: changed function: NAME`, `OBJECT: new function: NAME` and
    /// `OBJECT: warning: objtool: no correlation: NAME`.
    pub(super) fn read(text: &str) -> Self {
        let mut said = Self::default();
        for line in text.lines() {
            let behind = |part| line.split_once(part).map(|(_, name)| name.trim().to_owned());
            if let Some(name) = behind("objtool: no correlation: ") {
                said.uncorrelated.insert(name);
            } else if let Some(name) = behind(": changed function: ") {
                said.functions.insert(name.clone());
                said.changed.insert(name);
            } else if let Some(name) = behind(": new function: ") {
                said.functions.insert(name);
            }
        }
        said
    }
}

/// The symbols of the compiled units, as they were and as patched.
pub(super) struct Symbols {
    /// The letters of nm by name, by object.
    patched: BTreeMap<String, BTreeMap<String, char>>,
    originals: BTreeMap<String, BTreeMap<String, char>>,
}

impl Symbols {
    /// Reads the symbols of the units' objects.
    ///
    /// # Errors
    /// Those of the sandbox and of nm.
    pub(super) fn read(engine: &KlpEngine, units: &[Unit]) -> Result<Self, Failure> {
        let kept = engine.originals.view().shown_at(KEPT);
        let objects = units.iter().map(Unit::object);
        let arguments: Vec<String> = [kept].into_iter().chain(objects).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let finished = engine.script(SYMBOLS, &arguments, StepName::Diff)?;
        if !finished.succeeded() {
            return Err(tool_failure("nm", "the patched objects", &finished));
        }
        let list = engine.view.take_output("symbols", SYMBOLS_BYTES, FailureClass::Internal)?;
        Ok(Self::parse(&String::from_utf8_lossy(&list)))
    }

    fn parse(list: &str) -> Self {
        let mut symbols = Self { patched: BTreeMap::new(), originals: BTreeMap::new() };
        let mut current: Option<&mut BTreeMap<String, char>> = None;
        for line in list.lines() {
            let mut words = line.split(' ');
            let (name, letter) = (words.next().unwrap_or_default(), words.next());
            match (letter.and_then(|letter| letter.chars().next()), &mut current) {
                (None, _) => {
                    let object = name.trim_matches(':').to_owned();
                    let side = match name.starts_with(':') {
                        true => &mut symbols.originals,
                        false => &mut symbols.patched,
                    };
                    current = Some(side.entry(object).or_default());
                }
                (Some(letter), Some(current)) => drop(current.insert(name.to_owned(), letter)),
                (Some(_), None) => {}
            }
        }
        symbols
    }

    /// Whether the patched object of the unit has a symbol of one of these names.
    pub(super) fn hold_one_of(&self, unit: &Unit, names: &BTreeSet<String>) -> bool {
        let symbols = self.patched.get(&unit.object());
        symbols.is_some_and(|symbols| symbols.keys().any(|name| names.contains(name)))
    }

    /// Looks whether what objtool says of the linked `object` is possible: only the changed `units`
    /// differ from what they were.
    ///
    /// # Errors
    /// `internal` when it names a function of another object; `static-local-removed` when it finds
    /// no counterpart of a static local variable. The livepatch would have a new one, and the value
    /// that the running kernel holds would be lost; objtool only warns.
    pub(super) fn check(&self, said: &Said, units: &[&Unit], object: &str) -> Result<(), Failure> {
        let ours = |name: &String| {
            let has = |symbols: Option<&BTreeMap<String, char>>| {
                symbols.is_some_and(|symbols| symbols.contains_key(name))
            };
            units.iter().any(|unit| has(self.patched.get(&unit.object())))
        };
        if let Some(foreign) = said.functions.iter().find(|name| !ours(name)) {
            return Err(internal(format!(
                "objtool finds the function {foreign} changed in {object}, and no changed file has it"
            )));
        }
        let lost: Vec<&str> = units
            .iter()
            .filter_map(|unit| self.originals.get(&unit.object()))
            .flatten()
            .filter(|(name, letter)| {
                is_static_local(name) && is_data(**letter) && said.uncorrelated.contains(*name)
            })
            .map(|(name, _)| name.as_str())
            .collect();
        match lost.first() {
            None => Ok(()),
            Some(first) => Err(Failure::new(
                FailureClass::StaticLocalRemoved,
                format!(
                    "objtool cannot tell what becomes of the static local variable {first} in \
                     {object}, and its value could be lost"
                ),
                "keep the static local variables under their names, and add none of the same name to \
                 the file: docs/patchability.md#static-local-removed",
            )
            .with_details(lost.iter().map(|name| (*name).to_owned()))),
        }
    }
}

/// nm's letters for data that can be written: initialised, not initialised, common.
fn is_data(letter: char) -> bool {
    "dDbBC".contains(letter)
}

/// Whether a symbol is named as gcc names static local variables: `NAME.NUMBER`.
fn is_static_local(name: &str) -> bool {
    name.split_once('.').is_some_and(|(stem, number)| {
        !stem.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Parent;

    const LIST: &str = "fs/a.o:\nf.isra.0 t 0 10\nhelper t 10 10\ncount.2 b 0 8\n:fs/a.o:\n\
        f t 0 10\ncount.1 b 0 8\nCSWTCH.7 r 0 8\nold d 0 8\nfs/b.o:\ng T 0 1\n:fs/b.o:\ng T 0 1\n";

    fn unit(source: &str) -> Unit {
        Unit::beside(source, Parent::Vmlinux)
    }

    fn check(text: &str) -> Result<(), Failure> {
        let (a, b) = (unit("fs/a.c"), unit("fs/b.c"));
        Symbols::parse(LIST).check(&Said::read(text), &[&a, &b], "vmlinux.o")
    }

    #[test]
    fn changed_and_new_functions_are_read_and_nothing_else() {
        let said = Said::read(
            "vmlinux.o: new function: helper\nvmlinux.o: changed function: f.isra.0\n\
             vmlinux.o: warning: objtool: no correlation: changed function: x\n",
        );
        assert_eq!(said.functions.iter().collect::<Vec<_>>(), ["f.isra.0", "helper"]);
        assert_eq!(said.changed.iter().collect::<Vec<_>>(), ["f.isra.0"]);
        assert_eq!(said.uncorrelated.iter().collect::<Vec<_>>(), ["changed function: x"]);
    }

    #[test]
    fn functions_belong_to_the_objects_that_hold_them() {
        let symbols = Symbols::parse(LIST);
        let names = BTreeSet::from(["f.isra.0".to_owned(), "old".to_owned()]);
        assert!(symbols.hold_one_of(&unit("fs/a.c"), &names));
        assert!(!symbols.hold_one_of(&unit("fs/b.c"), &names));
        assert!(!symbols.hold_one_of(&unit("fs/c.c"), &names));
    }

    #[test]
    fn change_outside_the_changed_files_is_a_fault() {
        assert_eq!(check("vmlinux.o: changed function: f.isra.0\n"), Ok(()));
        let failure = check("vmlinux.o: changed function: vfs_read\n").expect_err("not ours");
        assert_eq!(failure.class, FailureClass::Internal);
        assert!(failure.message.contains("vfs_read"), "{failure}");
    }

    #[test]
    fn static_local_without_counterpart_is_refused() {
        let line = |name: &str| format!("vmlinux.o: warning: objtool: no correlation: {name}\n");
        let failure = check(&line("count.1")).expect_err("its value would be lost");
        assert_eq!(failure.class, FailureClass::StaticLocalRemoved);
        assert!(failure.message.contains("count.1"), "{failure}");
        // Constant, a variable of the file, of another file, and only in the patched object.
        for name in ["CSWTCH.7", "old", "count.9", "count.2", "f"] {
            assert_eq!(check(&line(name)), Ok(()), "{name}");
        }
    }
}
