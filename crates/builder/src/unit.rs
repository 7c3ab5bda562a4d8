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

/// A file that the compiler is called for, with what its object becomes a part of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Unit {
    /// The C or assembly file, by its path in the source tree.
    pub source: String,
    /// What its object is linked into.
    pub parent: Parent,
}

impl Unit {
    /// The path of its object in the tree.
    pub(crate) fn object(&self) -> String {
        let stem = self.source.strip_suffix(".c").or_else(|| self.source.strip_suffix(".S"));
        format!("{}.o", stem.unwrap_or(&self.source))
    }
}
