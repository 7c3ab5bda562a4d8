//! Whether the kernel can redirect the functions that objtool finds changed. It does not look, and
//! the kernel would refuse the livepatch; where the function is in a module, it would refuse that
//! module, once the livepatch is there.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_elf::{defined_functions, references};
use elivepatch_model::{Failure, FailureClass};

use super::objects::Objects;
use crate::{failures::internal, unit::Parent};

/// Refuses changed functions that cannot be redirected, `changed` by their names in the patched
/// object.
///
/// # Errors
/// `function-not-traceable`; `init-code` for functions that are gone when the kernel runs.
pub(super) fn check(
    objects: &Objects,
    parent: &Parent,
    changed: &BTreeSet<String>,
) -> Result<(), Failure> {
    let failed = |error| internal(format!("{}: {error}", objects.name));
    let functions = defined_functions(&objects.original).map_err(failed)?;
    let traceable = traceable(&objects.original)?;
    for name in changed {
        let originals = originals_of(name, &functions);
        let is_gone = |section: &str| {
            section.starts_with(".init.")
                || (section.starts_with(".exit.") && *parent == Parent::Vmlinux)
        };
        if let Some((name, section)) = originals.iter().find(|(_, section)| is_gone(section)) {
            return Err(Failure::new(
                FailureClass::InitCode,
                format!("{name} in {} is in {section}, which is gone after boot", objects.name),
                "leave code marked __init or __exit out: it has run; what must act now belongs into \
                 a callback: docs/patchability.md#init-code",
            ));
        }
        if !originals.is_empty() && !originals.iter().any(|(name, _)| traceable.contains(*name)) {
            return Err(Failure::new(
                FailureClass::FunctionNotTraceable,
                format!(
                    "the kernel cannot redirect {} in {}: no call to __fentry__ begins it",
                    originals[0].0, objects.name
                ),
                "change the nearest traceable function that calls it: \
                 docs/patchability.md#not-traceable",
            ));
        }
    }
    Ok(())
}

/// The functions that begin with a call to `__fentry__`. The compiler lists the calls in
/// `__mcount_loc`; where objtool does that later, the call itself is there. (The lists
/// `__patchable_function_entries` tell nothing on x86-64: they are of the padding before functions,
/// which all have.)
fn traceable(object: &[u8]) -> Result<BTreeSet<String>, Failure> {
    const LIST: &str = "__mcount_loc";
    let references = references(object, |section| section == LIST || section.contains(".text"));
    let references = references.map_err(|error| internal(format!("an original: {error}")))?;
    let function = |reference: elivepatch_elf::Reference| match reference.from.as_str() {
        LIST => Some(reference.to),
        _ if reference.to == "__fentry__" => reference.from_function,
        _ => None,
    };
    Ok(references.into_iter().filter_map(function).collect())
}

/// The original functions that one of the patched object can be: that of its name, or where there is
/// none, those of the same name but for what compilers append (`f` and `f.isra.0`). Parts that were
/// moved away (`f.cold`) are replaced with the whole.
fn originals_of<'a>(
    name: &str,
    functions: &'a BTreeMap<String, String>,
) -> Vec<(&'a str, &'a str)> {
    let name = name.strip_suffix(".cold").unwrap_or(name);
    if let Some((name, section)) = functions.get_key_value(name) {
        return vec![(name, section)];
    }
    let stem = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let same = |other: &&String| stem(other) == stem(name) && !other.ends_with(".cold");
    let same = functions.keys().filter(same);
    same.map(|name| (name.as_str(), functions[name].as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::compiled::compile;

    const SOURCE: &str = r#"
        #define notrace __attribute__((no_instrument_function))
        int traced(int x) { return x * 3; }
        notrace int hidden(int x) { return x * 5; }
        __attribute__((section(".init.text"))) int starter(int x) { return x * 7; }
        __attribute__((noinline)) static int part(int x, int y) { return x * 11; }
        int caller(int x) { return part(x, 1) + part(x + 1, 2); }
    "#;

    fn verdict(options: &[&str], changed: &[&str]) -> Result<(), Failure> {
        let always = ["-O2", "-pg", "-mfentry", "-ffunction-sections", "-fno-pic"];
        let options: Vec<&str> = always.iter().chain(options).copied().collect();
        let original = compile(SOURCE, &options);
        let objects = Objects { name: "fs/a.o".to_owned(), patched: original.clone(), original };
        let changed = changed.iter().map(|name| (*name).to_owned()).collect();
        check(&objects, &Parent::Vmlinux, &changed)
    }

    #[test]
    fn function_without_a_call_to_fentry_is_refused_and_others_are_not() {
        let padding = "-fpatchable-function-entry=16,16";
        for options in
            [&[][..], &["-mrecord-mcount"], &["-mrecord-mcount", "-mnop-mcount", padding]]
        {
            for name in ["traced", "traced.cold", "caller", "part", "part.isra.0", "new_one"] {
                assert_eq!(verdict(options, &[name]), Ok(()), "{name} {options:?}");
            }
            let failure = verdict(options, &["hidden", "traced"]).expect_err("notrace");
            assert_eq!(failure.class, FailureClass::FunctionNotTraceable, "{options:?}");
            assert!(failure.message.contains("hidden in fs/a.o"), "{failure}");
            // Under another name in the patched object.
            let failure = verdict(options, &["hidden.constprop.0"]).expect_err("notrace");
            assert_eq!(failure.class, FailureClass::FunctionNotTraceable, "{failure}");
        }
    }

    #[test]
    fn function_that_is_gone_after_boot_is_refused_as_such() {
        let failure = verdict(&["-mrecord-mcount"], &["starter"]).expect_err("__init");
        assert_eq!(failure.class, FailureClass::InitCode);
    }
}
