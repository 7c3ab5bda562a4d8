//! What moves from one file to another. kpatch compares file by file: there it is new, and nothing
//! says that the kernel has it already.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_model::{Failure, FailureClass};

use crate::{
    symbols::{SymbolListing, is_prefix},
    unit::{Parent, Unit},
};

/// Refuses new functions and variables that the parent has already, in another file: code that does
/// not change would go on with the old one. `listing` gives the symbols of a parent.
///
/// # Errors
/// `not-patchable` with the name and the file; those of `listing`.
pub(super) fn check_moved(
    defined: &[(&Unit, BTreeSet<String>)],
    listing: &dyn Fn(&Parent) -> Result<SymbolListing, Failure>,
) -> Result<(), Failure> {
    let mut listings: BTreeMap<&Parent, SymbolListing> = BTreeMap::new();
    for (unit, names) in defined.iter().filter(|(_, names)| !names.is_empty()) {
        let parent = &unit.parent;
        if !listings.contains_key(parent) {
            listings.insert(parent, listing(parent)?);
        }
        // kpatch makes the functions that are replaced local, and not the padding before them.
        let mut functions = names.iter().filter(|name| !is_prefix(name));
        let known = |name: &&String| listings[parent].seen_by_others(name).is_some();
        let Some(name) = functions.find(known) else { continue };
        let source = &unit.source;
        return Err(Failure::new(
            FailureClass::NotPatchable,
            format!(
                "the patch brings {name} to {source}, and {parent} has a {name} already: the code \
                 that does not change would go on with the old one"
            ),
            format!(
                "leave {name} in the file where it is, and change it there; or give the new one in \
                 {source} another name, and have the code that should use it call that"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "
     1: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS a.c
     2: ffffffff81000010    16 FUNC    LOCAL  DEFAULT    1 hidden
     3: ffffffff81000020    16 FUNC    GLOBAL DEFAULT    1 moved
     4: ffffffff81000030    16 FUNC    WEAK   DEFAULT    1 default
     5: ffffffff82000000     8 OBJECT  GLOBAL DEFAULT    2 counter
     6: ffffffff81000040    16 FUNC    GLOBAL DEFAULT    1 __pfx_replaced
";

    fn check(source: &str, names: &[&str]) -> Result<(), Failure> {
        let unit = Unit::beside(source, Parent::Vmlinux);
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        check_moved(&[(&unit, names)], &|_| Ok(SymbolListing::parse(LISTING)))
    }

    #[test]
    fn new_name_that_the_parent_has_for_others_is_refused() {
        for name in ["moved", "default", "counter"] {
            let failure = check("fs/b.c", &["fresh", name]).expect_err(name);
            assert_eq!(failure.class, FailureClass::NotPatchable);
            let said = format!("brings {name} to fs/b.c, and vmlinux has a {name} already");
            assert!(failure.message.contains(&said), "{failure}");
        }
    }

    #[test]
    fn new_names_and_those_of_static_functions_pass() {
        check("fs/b.c", &["fresh", "hidden"]).expect("nobody else sees it");
        check("fs/b.c", &["__pfx_replaced"]).expect("its function is replaced where it is");
    }

    #[test]
    fn list_is_read_only_for_a_parent_that_gets_something_new() {
        let unit = Unit::beside("fs/b.c", Parent::Vmlinux);
        check_moved(&[(&unit, BTreeSet::new())], &|_| panic!("nothing to look up")).expect("none");
    }
}
