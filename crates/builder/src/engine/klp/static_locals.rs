//! Whether objtool pairs each static local variable with the same one of the patched object.
//!
//! It pairs by name without the number, and several of one name by their positions
//! (`find_twin_positional` in tools/objtool/klp-diff.c). So when `f` loses its `count` and `g` gets
//! one, `g` goes on with the value that `f` left, and objtool says nothing. The debug information
//! knows the functions.

use std::collections::BTreeMap;

use elivepatch_elf::{StaticVariable, static_variables};
use elivepatch_model::{Failure, FailureClass};

use super::objects::Objects;
use crate::failures::internal;

/// Variables that objtool never pairs, but takes from the patched object
/// (`is_uncorrelated_static_local` in tools/objtool/klp-diff.c).
const NEVER_PAIRED: [&str; 9] = [
    "__already_done",
    "__func__",
    "__key",
    "__warned",
    "_entry",
    "_entry_ptr",
    "_rs",
    "descriptor",
    "CSWTCH",
];

/// The sections of variables that remember what was done once, and of those that only keep others
/// from being left out; they are not paired either.
const NEVER_PAIRED_SECTIONS: [&str; 2] = [".data..once", ".discard"];

/// Refuses static local variables that would be paired with another one.
///
/// # Errors
/// `static-local-removed`, naming the variable and the functions.
pub(super) fn check(objects: &Objects) -> Result<(), Failure> {
    let read = |bytes: &[u8]| {
        static_variables(bytes).map_err(|error| internal(format!("{}: {error}", objects.name)))
    };
    compare(&objects.name, &read(&objects.original)?, &read(&objects.patched)?)
}

type Variables = BTreeMap<String, Vec<StaticVariable>>;

fn compare(object: &str, original: &Variables, patched: &Variables) -> Result<(), Failure> {
    for (name, before) in original.iter().filter(|(name, _)| !NEVER_PAIRED.contains(&name.as_str()))
    {
        let (before, after) =
            (paired(before), paired(patched.get(name).map_or(&[], Vec::as_slice)));
        let holds_a_value = |variables: &[&StaticVariable]| {
            variables.iter().any(|one| one.function.is_some() && one.is_writable)
        };
        // Without a counterpart of the name objtool says so, and that is looked at.
        let can_be_mistaken = !before.is_empty()
            && !after.is_empty()
            && (holds_a_value(&before) || holds_a_value(&after));
        if can_be_mistaken && identities(&before) != identities(&after) {
            return Err(Failure::new(
                FailureClass::StaticLocalRemoved,
                format!(
                    "the variable {name} in {object} was that of {} and becomes that of {}: one \
                     would go on with the value of another",
                    functions(&before),
                    functions(&after)
                ),
                "keep the static local variables in their functions, under their names and in their \
                 order, and give new ones names of their own: \
                 docs/patchability.md#static-local-removed",
            ));
        }
    }
    Ok(())
}

fn paired(variables: &[StaticVariable]) -> Vec<&StaticVariable> {
    let is_paired = |variable: &&StaticVariable| {
        !NEVER_PAIRED_SECTIONS.iter().any(|section| variable.section.starts_with(section))
    };
    variables.iter().filter(is_paired).collect()
}

fn identities<'a>(variables: &[&'a StaticVariable]) -> Vec<(Option<&'a str>, u64)> {
    variables.iter().map(|one| (one.function.as_deref(), one.size)).collect()
}

fn functions(variables: &[&StaticVariable]) -> String {
    let name = |one: &&StaticVariable| match &one.function {
        Some(function) => format!("{function}()"),
        None => "the file".to_owned(),
    };
    variables.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::compiled::compile;

    fn verdict(before: &str, after: &str) -> Result<(), Failure> {
        let object =
            |source| compile(source, &["-g", "-O2", "-ffunction-sections", "-fdata-sections"]);
        check(&Objects {
            name: "fs/a.o".to_owned(),
            original: object(before),
            patched: object(after),
        })
    }

    /// A file with a function for each name, which has a static `count` where it is said.
    fn source(functions: &[(&str, bool)]) -> String {
        let function = |(name, has_count): &(&str, bool)| match has_count {
            true => format!("int {name}(int x) {{ static int count; return count += x; }}\n"),
            false => format!("int {name}(int x) {{ return x * 3; }}\n"),
        };
        functions.iter().map(function).collect()
    }

    #[test]
    fn variable_that_goes_in_one_function_and_comes_in_another_is_refused() {
        for (before, after) in [
            ([("f", true), ("g", false)], [("f", false), ("g", true)]),
            ([("f", true), ("g", false)], [("f", true), ("g", true)]),
            ([("f", true), ("g", true)], [("f", true), ("h", true)]),
        ] {
            let failure = verdict(&source(&before), &source(&after)).expect_err("not the same");
            assert_eq!(failure.class, FailureClass::StaticLocalRemoved, "{before:?} {after:?}");
            assert!(failure.message.contains("count in fs/a.o was that of"), "{failure}");
        }
    }

    #[test]
    fn variables_that_stay_where_they_are_pass_whatever_changes_beside_them() {
        let both = source(&[("f", true), ("g", true)]);
        assert_eq!(verdict(&both, &both), Ok(()));
        assert_eq!(verdict(&both, &both.replace("+= x", "+= 2 * x")), Ok(()));
        let added = "int h(int x) { static int other; return other += x; }\n".to_owned() + &both;
        assert_eq!(verdict(&both, &added), Ok(()));
        // objtool says that of one that only goes.
        assert_eq!(verdict(&source(&[("f", true)]), &source(&[("f", false)])), Ok(()));
    }

    #[test]
    fn variables_that_are_never_paired_or_never_change_may_move() {
        for (declaration, name) in [
            ("static int __warned", "__warned"),
            ("static const int count[2] = { 1, 2 }", "count"),
            ("static int done __attribute__((section(\".data..once\")))", "done"),
            // As ___ADDRESSABLE makes them.
            (
                "static void *__UNIQUE_ID_x_7 __attribute__((section(\".discard.x\")))",
                "__UNIQUE_ID_x_7",
            ),
        ] {
            let with = |function: &str| {
                format!("void *{function}(void) {{ {declaration}; return (void *)&{name}; }}\n")
            };
            let before = with("f") + "int g(void) { return 1; }\n";
            let after = "int f(void) { return 1; }\n".to_owned() + &with("g");
            assert_eq!(verdict(&before, &after), Ok(()), "{declaration}");
        }
    }

    #[test]
    fn variables_whose_names_are_made_unique_by_numbers_are_paired_by_position() {
        let with = |f: &str, g: &str| {
            format!(
                "int f(void) {{ static int __UNIQUE_ID_xx_{f}; return ++__UNIQUE_ID_xx_{f}; }}\n\
                 int g(void) {{ static int __UNIQUE_ID_xx_{g}; return ++__UNIQUE_ID_xx_{g}; }}\n"
            )
        };
        // All numbers move when something is added above.
        assert_eq!(verdict(&with("1", "2"), &with("2", "3")), Ok(()));
        let without_f = with("1", "2").replace("f(void)", "h(void)");
        assert!(verdict(&with("1", "2"), &without_f).is_err());
    }
}
