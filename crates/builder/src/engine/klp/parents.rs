use std::collections::BTreeMap;

use elivepatch_model::{Failure, FailureClass};

use super::originals::Originals;
use crate::unit::{Parent, Unit};

/// The largest list of modules, in bytes. A distribution's has 5,000 lines.
const MODULES_ORDER_BYTES: u64 = 16 * 1024 * 1024;

/// The objects that are compared: those that are linked of all objects of the kernel image, or of
/// a module, by what they are the objects of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parents(BTreeMap<Parent, String>);

impl Parents {
    /// Finds the linked objects that the units are part of.
    ///
    /// # Errors
    /// `base-failed` when the base built no such module.
    pub(super) fn of(units: &[Unit], originals: &Originals) -> Result<Self, Failure> {
        let order = originals.view().read_made("modules.order", MODULES_ORDER_BYTES);
        let order = String::from_utf8(order.unwrap_or_default()).unwrap_or_default();
        Self::find(units, &order)
    }

    fn find(units: &[Unit], order: &str) -> Result<Self, Failure> {
        let mut objects = BTreeMap::new();
        for unit in units {
            let object = match &unit.parent {
                Parent::Vmlinux => Some("vmlinux.o".to_owned()),
                Parent::Module(name) => order
                    .lines()
                    .find(|object| module_of(object) == Some(name.clone()))
                    .map(str::to_owned),
            };
            let object = object.ok_or_else(|| {
                Failure::new(
                    FailureClass::BaseFailed,
                    format!("the base built no object of {}", unit.parent),
                    "this is not the patch's fault: please report it with the build's log",
                )
            })?;
            objects.insert(unit.parent.clone(), object);
        }
        Ok(Self(objects))
    }

    /// Each parent with the path of its linked object in the tree.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Parent, &str)> {
        self.0.iter().map(|(parent, object)| (parent, object.as_str()))
    }
}

/// The name of the module that an object of modules.order becomes; `None` for a path that is not
/// Kbuild's.
fn module_of(object: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+,-".contains(&byte);
    let stem = object.strip_suffix(".o")?;
    let is_plain = object.bytes().all(plain) && !object.starts_with(['/', '-']);
    is_plain.then(|| stem.rsplit('/').next().unwrap_or(stem).replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(source: &str, parent: Parent) -> Unit {
        Unit::beside(source, parent)
    }

    #[test]
    fn each_parent_has_its_linked_object_once() {
        let order = "arch/x86/crypto/aesni-intel.o\nfs/ext4/ext4.o\n";
        let module = |name: &str| Parent::Module(name.to_owned());
        let units = [
            unit("fs/ext4/inode.c", module("ext4")),
            unit("fs/ext4/super.c", module("ext4")),
            unit("arch/x86/crypto/glue.c", module("aesni_intel")),
            unit("kernel/fork.c", Parent::Vmlinux),
        ];
        let parents = Parents::find(&units, order).expect("all are there");
        assert_eq!(
            parents.iter().collect::<Vec<_>>(),
            [
                (&Parent::Vmlinux, "vmlinux.o"),
                (&module("aesni_intel"), "arch/x86/crypto/aesni-intel.o"),
                (&module("ext4"), "fs/ext4/ext4.o"),
            ]
        );
    }

    #[test]
    fn module_that_the_base_did_not_build_is_named() {
        let units = [unit("fs/xfs/a.c", Parent::Module("xfs".to_owned()))];
        for order in
            ["fs/ext4/ext4.o\n", "/etc/xfs.o\n", "-x/xfs.o\n", "a b/xfs.o\n", "fs/xfs.ko\n"]
        {
            let failure = Parents::find(&units, order).expect_err("it is not there");
            assert!(failure.message.contains("xfs"), "{failure}");
        }
    }
}
