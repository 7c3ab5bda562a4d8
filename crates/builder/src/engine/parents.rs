//! One livepatch for several parents: what they must not have in common.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_model::{Failure, FailureClass};

use crate::unit::{Parent, Unit};

/// Refuses changed objects of different parents that define the same name for others. Each parent
/// has a function of its own behind it; in the livepatch, which is linked as one object, there can
/// be only one.
///
/// # Errors
/// `not-patchable` with the name and both parents.
pub(super) fn check_names(defined: &[(&Unit, BTreeSet<String>)]) -> Result<(), Failure> {
    let mut first: BTreeMap<&str, &Parent> = BTreeMap::new();
    for (unit, names) in defined {
        for name in names {
            let other = *first.entry(name).or_insert(&unit.parent);
            if *other != unit.parent {
                return Err(Failure::new(
                    FailureClass::NotPatchable,
                    format!(
                        "{other} and {} would both bring a {name} that is not static, and a \
                         livepatch can hold only one",
                        unit.parent
                    ),
                    "make it static where it is new; otherwise leave it as it is and change the \
                     functions that call it",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_in_two_parents_is_refused_with_both_and_in_one_it_is_not() {
        let unit = |source: &str, parent| Unit::beside(source, parent);
        let module = |name: &str| Parent::Module(name.to_owned());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (kernel, ext4, fuse) = (
            unit("fs/x.c", Parent::Vmlinux),
            unit("fs/ext4/x.c", module("ext4")),
            unit("fs/fuse/x.c", module("fuse")),
        );
        let other = unit("fs/ext4/y.c", module("ext4"));
        check_names(&[(&kernel, names(&["a"])), (&ext4, names(&["b"])), (&fuse, names(&[]))])
            .expect("none in common");
        // The linker has better words for what one parent has twice.
        check_names(&[(&ext4, names(&["a"])), (&other, names(&["a"]))]).expect("one parent");
        for (one, two, parents) in
            [(&kernel, &ext4, "vmlinux and ext4"), (&ext4, &fuse, "ext4 and fuse")]
        {
            let found = [(one, names(&["a", "shared"])), (two, names(&["b", "shared"]))];
            let failure = check_names(&found).expect_err("it is in both");
            assert_eq!(failure.class, FailureClass::NotPatchable);
            let expected = format!("{parents} would both bring a shared that is not static");
            assert!(failure.message.starts_with(&expected), "{failure}");
        }
    }
}
