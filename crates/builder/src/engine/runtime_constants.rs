//! Which of the functions that a livepatch would hold copies of hold constants that only the kernel's
//! own code gets: see [`crate::runtime_constants`].

use std::collections::BTreeSet;

use elivepatch_elf::{defined_functions, runtime_constants};
use elivepatch_model::{Failure, FailureClass};

use super::{KpatchEngine, OBJECT_BYTES};
use crate::{failures::internal, runtime_constants::refuse, unit::Unit};

/// Looks at the object that create-diff-object made of a unit, `output` in the work directory.
///
/// # Errors
/// `runtime-constant`; those of reading the objects.
pub(super) fn check_output(
    engine: &KpatchEngine,
    unit: &Unit,
    output: &str,
) -> Result<(), Failure> {
    let bytes = engine.patched.take_output(output, OBJECT_BYTES, FailureClass::EngineFailed)?;
    let functions = defined_functions(&bytes)
        .map_err(|error| internal(format!("create-diff-object's {output}: {error}")))?;
    check(engine, unit, &functions.into_keys().collect())
}

/// Looks at the functions of a unit that are among `copied`, those that a livepatch will hold.
///
/// # Errors
/// `runtime-constant`; those of reading the object.
pub(super) fn check(
    engine: &KpatchEngine,
    unit: &Unit,
    copied: &BTreeSet<String>,
) -> Result<(), Failure> {
    let object = unit.object();
    let patched = engine
        .patched
        .read_made(&object, OBJECT_BYTES)
        .map_err(|error| internal(format!("cannot read {object}: {error}")))?;
    let constants = runtime_constants(&patched)
        .map_err(|error| internal(format!("{object} cannot be read: {error}")))?;
    refuse(&among(constants, copied), &object)
}

/// See [`KpatchEngine::units_with_runtime_constants`].
pub(super) fn units_with_some(engine: &KpatchEngine, units: &[Unit]) -> Result<Vec<Unit>, Failure> {
    let mut found = Vec::new();
    for unit in units {
        // What was not compiled as patched reads no touched file.
        let Ok(patched) = engine.patched.read_made(&unit.object(), OBJECT_BYTES) else { continue };
        let constants = runtime_constants(&patched)
            .map_err(|error| internal(format!("{} cannot be read: {error}", unit.object())))?;
        if !constants.is_empty() {
            found.push(unit.clone());
        }
    }
    Ok(found)
}

/// The constants of functions that are copied. The compiler moves unlikely parts of `f` to `f.cold`,
/// and both are copied together.
fn among(constants: Vec<(String, String)>, copied: &BTreeSet<String>) -> Vec<(String, String)> {
    let is_copied = |function: &str| {
        copied.contains(function)
            || function.strip_suffix(".cold").is_some_and(|whole| copied.contains(whole))
    };
    constants.into_iter().filter(|(function, _)| is_copied(function)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_count_where_their_function_is_copied_in_whole_or_in_part() {
        let constant = |function: &str| (function.to_owned(), "USER_PTR_MAX".to_owned());
        let copied = BTreeSet::from(["f".to_owned(), "g.isra.0".to_owned()]);
        let names = ["f.cold", "f", "g", "g.isra.0", "h.cold"];
        let found = among(names.map(constant).to_vec(), &copied);
        assert_eq!(found, ["f.cold", "f", "g.isra.0"].map(constant));
    }
}
