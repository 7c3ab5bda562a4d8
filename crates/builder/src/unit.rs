//! A compiled file and what it is linked into.

use std::fmt;

/// What an object is linked into: the kernel image, or a loadable module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Parent {
    /// The kernel image.
    Vmlinux,
    /// The module with this name, as `lsmod` shows it (`-` is `_`).
    Module(String),
}

impl Parent {
    /// `vmlinux` or the module's name: what kpatch calls the parent.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Vmlinux => "vmlinux",
            Self::Module(name) => name,
        }
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A file that the compiler is called for, with the object that it gives and what that becomes a
/// part of. One file may be compiled to several objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Unit {
    /// The C or assembly file, by its path in the source tree.
    pub source: String,
    /// What its object is linked into.
    pub parent: Parent,
    /// What Kbuild calls its object. Mostly that is the source with another ending; but `kvm.ko` is
    /// linked from `arch/x86/kvm/../../../virt/kvm/kvm_main.o`, and `kernel/bpf/relo_core.o` is
    /// compiled from a file in `tools/`.
    goal: String,
}

impl Unit {
    /// A file whose object lies beside it.
    pub(crate) fn beside(source: &str, parent: Parent) -> Self {
        let (source, goal) = (in_tree(source), goal_beside(source));
        Self { source, parent, goal }
    }

    /// A file whose object has this name in the words of Kbuild.
    pub(crate) fn with_goal(source: &str, parent: Parent, goal: &str) -> Self {
        Self { source: in_tree(source), parent, goal: goal.to_owned() }
    }

    /// Whether Kbuild compiles its object twice when single objects are asked for: `drivers/Makefile` names both
    /// `input/` and two directories below it, and `input/Makefile` has no rule for those. Where it belongs to a
    /// module it is compiled as a part of vmlinux the second time, at the same moment as the first.
    pub(crate) fn is_entered_twice(&self) -> bool {
        const ENTERED_TWICE: [&str; 2] = ["drivers/input/serio/", "drivers/input/gameport/"];
        ENTERED_TWICE.iter().any(|place| self.source.starts_with(place))
    }

    /// The path of its object in the tree.
    pub(crate) fn object(&self) -> String {
        in_tree(&self.goal)
    }

    /// What make is asked for to have the object compiled, and what Kbuild calls it in its record.
    pub(crate) fn goal(&self) -> &str {
        &self.goal
    }

    /// Whether source and object are files of the tree.
    pub(crate) fn is_in_tree(&self) -> bool {
        [self.source.as_str(), &self.object()]
            .iter()
            .all(|path| !path.is_empty() && !path.starts_with('/') && !path.starts_with(".."))
    }

    /// Whether the object lies beside the source and goes by its name.
    pub(crate) fn is_beside(&self) -> bool {
        self.goal == goal_beside(&self.source)
    }
}

/// The object that Kbuild's ordinary rules make of a source file.
pub(crate) fn goal_beside(source: &str) -> String {
    let stem = source.strip_suffix(".c").or_else(|| source.strip_suffix(".S"));
    format!("{}.o", stem.unwrap_or(source))
}

/// The path without `./`, and with `DIRECTORY/../` resolved by name: so Kbuild calls objects in
/// other directories than their Makefile's, and so the compiler writes `#include "../x.h"`. What
/// leads out of the tree keeps its `..` at the beginning.
pub(crate) fn in_tree(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            (".", _) => {}
            ("..", Some(last)) if !last.is_empty() && *last != ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_beside_its_source_goes_by_its_name() {
        let unit = Unit::beside("fs/exec.c", Parent::Vmlinux);
        assert_eq!((unit.object().as_str(), unit.goal()), ("fs/exec.o", "fs/exec.o"));
        assert_eq!(Unit::beside("lib/memcpy_64.S", Parent::Vmlinux).goal(), "lib/memcpy_64.o");
        assert!(unit.is_beside());
    }

    #[test]
    fn object_in_another_directory_than_its_makefile_keeps_kbuilds_name() {
        let spelled = "arch/x86/kvm/../../../virt/kvm/kvm_main.c";
        let unit = Unit::beside(spelled, Parent::Module("kvm".to_owned()));
        assert_eq!(unit.source, "virt/kvm/kvm_main.c");
        assert_eq!(unit.object(), "virt/kvm/kvm_main.o");
        assert_eq!(unit.goal(), "arch/x86/kvm/../../../virt/kvm/kvm_main.o");
        assert!(!unit.is_beside());
        assert_eq!(in_tree("../../etc/passwd"), "../../etc/passwd");
    }
}
