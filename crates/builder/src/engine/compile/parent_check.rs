//! What Kbuild thinks that an object is linked into, from its compiler's command line.

use elivepatch_model::{Failure, FailureClass};

use crate::unit::{Parent, Unit};

/// Compares what is known of an object with the command that compiled it. Kbuild passes `-DMODULE`
/// for objects of modules, and `-DKBUILD_MODNAME='"NAME"'` with the module's name
/// (`scripts/Makefile.lib`, `modname_flags`); an object of several modules has all their names,
/// with colons between. (`-D__KBUILD_MODNAME`, beside it, has lost its prefix `kmod_` by 7.3.)
///
/// # Errors
/// `base-failed` when they disagree: functions would be patched in the wrong place. `engine-failed` for a module
/// of which Kbuild compiles single objects wrongly ([`Unit::is_entered_twice`]).
pub(super) fn check_parents(units: &[&Unit], object: &str, shell: &str) -> Result<(), Failure> {
    let of_module = shell.split_ascii_whitespace().any(|word| word == "-DMODULE");
    let names = module_names(shell);
    let parents: Vec<&Parent> =
        units.iter().filter(|unit| unit.object() == object).map(|unit| &unit.parent).collect();
    let twice = units.iter().find(|unit| unit.object() == object && unit.is_entered_twice());
    if let Some(Unit { parent: Parent::Module(module), .. }) = twice {
        return Err(Failure::new(
            FailureClass::EngineFailed,
            format!(
                "{object} is of the module {module}, and when single objects below drivers/input/serio and \
                 drivers/input/gameport are asked for Kbuild compiles them a second time, as parts of \
                 vmlinux: what comes of it cannot be relied on"
            ),
            "a fix of this module needs a newer kernel; code of these directories that is built into the \
             kernel can be patched",
        ));
    }
    let agrees = parents.iter().all(|parent| match parent {
        // An object that is linked into both is compiled for the modules.
        Parent::Vmlinux => !of_module || parents.len() > 1,
        Parent::Module(module) => of_module && names.iter().any(|name| name == module),
    });
    if agrees {
        return Ok(());
    }
    let known: Vec<&str> = parents.iter().map(|parent| parent.name()).collect();
    let kbuild = if of_module { names.join(", ") } else { "vmlinux".to_owned() };
    Err(Failure::new(
        FailureClass::BaseFailed,
        format!(
            "{object} is part of {} by the target's debug information, and of {kbuild} by its \
             source",
            known.join(", ")
        ),
        "the packages of this kernel contradict each other: please report it with the release",
    ))
}

/// The modules that Kbuild names in a command; the object's own name where it is in none.
fn module_names(shell: &str) -> Vec<String> {
    const FLAG: &str = "-DKBUILD_MODNAME=";
    let value = shell.split_ascii_whitespace().find_map(|word| word.strip_prefix(FLAG));
    let value = value.unwrap_or_default().trim_matches(['\'', '"']);
    let names = value.split(':').filter(|name| !name.is_empty());
    names.map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "gcc-12 -DMODULE -DKBUILD_BASENAME='\"super\"' \
        -DKBUILD_MODNAME='\"overlay\"' -D__KBUILD_MODNAME=kmod_overlay -c -o fs/o.o fs/o.c";
    const BUILT_IN: &str = "gcc-12 -DKBUILD_BASENAME='\"o\"' -DKBUILD_MODNAME='\"o\"' \
        -D__KBUILD_MODNAME=kmod_o -c -o fs/o.o fs/o.c";

    /// As Linux 7.3 writes it.
    const NEWER: &str = "gcc-14 -DMODULE -DKBUILD_BASENAME='\"loop\"' \
        -DKBUILD_MODNAME='\"loop\"' -D__KBUILD_MODNAME=loop -c -o fs/o.o fs/o.c";

    fn check(parents: &[&str], shell: &str) -> Result<(), String> {
        let parent = |name: &&str| match *name {
            "vmlinux" => Parent::Vmlinux,
            name => Parent::Module(name.to_owned()),
        };
        let units: Vec<Unit> =
            parents.iter().map(|name| Unit::beside("fs/o.c", parent(name))).collect();
        let units: Vec<&Unit> = units.iter().collect();
        check_parents(&units, "fs/o.o", shell).map_err(|failure| failure.message)
    }

    #[test]
    fn object_is_where_kbuild_says() {
        assert_eq!(check(&["overlay"], MODULE), Ok(()));
        assert_eq!(check(&["vmlinux"], BUILT_IN), Ok(()));
        assert_eq!(check(&["loop"], NEWER), Ok(()));
        let shared = MODULE.replace("\"overlay\"", "\"overlay:other\"");
        assert_eq!(check(&["overlay", "other"], &shared), Ok(()));
        assert_eq!(check(&["overlay", "vmlinux"], MODULE), Ok(()));
    }

    #[test]
    fn module_that_kbuild_compiles_twice_is_refused_whatever_it_says() {
        for shell in [MODULE, BUILT_IN] {
            let module = Parent::Module("overlay".to_owned());
            let unit = Unit::beside("drivers/input/serio/o.c", module);
            let failure = check_parents(&[&unit], "drivers/input/serio/o.o", shell);
            let failure = failure.expect_err("it cannot be relied on");
            // Of the fix, so that a run goes on with the others.
            assert_eq!(failure.class, FailureClass::EngineFailed);
            assert!(failure.message.contains("a second time"), "{failure:?}");
        }
        let unit = Unit::beside("drivers/input/serio/o.c", Parent::Vmlinux);
        let built_in = check_parents(&[&unit], "drivers/input/serio/o.o", BUILT_IN);
        assert_eq!(built_in, Ok(()));
    }

    #[test]
    fn disagreement_with_kbuild_is_an_error() {
        for (parents, shell, part) in [
            (
                &["vmlinux"][..],
                MODULE,
                "of vmlinux by the target's debug information, and of overlay",
            ),
            (&["overlay"], BUILT_IN, "and of vmlinux by its source"),
            (&["nfs"], MODULE, "of nfs by"),
            (&["overlay", "nfs"], MODULE, "of overlay, nfs by"),
        ] {
            let said = check(parents, shell).expect_err("a disagreement");
            assert!(said.contains(part), "{said}");
        }
    }
}
