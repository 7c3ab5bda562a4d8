//! The layouts of an object's data structures, and what differs between two objects.
//!
//! kpatch compares functions and variables; it does not see that a structure has another layout,
//! while memory that was laid out in the old way is still in use. The debug information of the two
//! objects says both layouts.

mod changes;
mod entries;
mod types;

use std::collections::BTreeMap;

pub use changes::{LayoutChange, LayoutChangeKind};
use elivepatch_model::Sha256Digest;

use crate::{ElfError, budget::Budget, object_file::ObjectFile};

/// The layouts of the data that an object knows: structures, unions, enumeration constants and
/// variables, by name. What is inside a function has the function's name in front: `main: struct x`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layouts {
    structures: BTreeMap<String, Structure>,
    constants: BTreeMap<String, Constant>,
    variables: BTreeMap<String, TypeShape>,
    /// What global functions that are defined here take and give, by name.
    signatures: BTreeMap<String, Signature>,
}

/// What a function takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    /// Equal for functions that can be called the same way.
    digest: Sha256Digest,
    /// For people: `int (struct file *, size_t)`.
    text: String,
}

/// A global function that is called in another way than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureChange {
    /// Its name.
    pub function: String,
    /// What it took and gave: `int (struct file *)`.
    pub old: String,
    /// What it takes and gives.
    pub new: String,
}

/// A structure or union.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Structure {
    /// In bytes.
    size: u64,
    /// The file that defines it, as the compiler names it.
    file: Option<String>,
    /// By name; those of anonymous structures and unions within are among them, since they are
    /// accessed by their own names.
    members: BTreeMap<String, Member>,
}

/// A constant of an enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Constant {
    value: i64,
    /// Whether it is the highest of its enumeration, or one less than a highest mark of its end.
    is_at_end: bool,
}

/// A member of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    /// From the beginning of the structure.
    offset_bits: u64,
    /// Of a bit field; `None` for other members.
    width_bits: Option<u64>,
    shape: TypeShape,
}

/// What of a type decides how its bytes in memory are read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TypeShape {
    /// In bytes; 0 when unknown, such as that of a flexible array.
    size: u64,
    /// Equal for types of which each reads what the other has written.
    digest: Sha256Digest,
    /// For people: `struct list_head`, `int[4]`.
    text: String,
}

impl Layouts {
    /// Reads the layouts from an object's debug information.
    ///
    /// # Errors
    /// When the bytes are not an ELF file for x86-64, when there is no debug information, when it is
    /// compressed, or when it cannot be read. The work is bounded by the number of bytes.
    pub fn read(object: &[u8]) -> Result<Self, ElfError> {
        let object_file = ObjectFile::parse(object, "the object")?;
        let mut budget = Budget::new(object.len());
        let entries = entries::read(&object_file, &mut budget)?;
        types::layouts(&entries, &mut budget)
    }

    /// The global functions of both objects whose parameters or results differ, by name: callers that
    /// are not compiled anew would call the patched one as they called the old one. Only the kind and
    /// size of numbers count, and by name what a pointer leads to.
    pub fn signature_changes(&self, patched: &Self) -> Vec<SignatureChange> {
        let both = self.signatures.iter();
        both.filter_map(|(name, old)| Some((name, old, patched.signatures.get(name)?)))
            .filter(|(_, old, new)| old.digest != new.digest)
            .map(|(name, old, new)| SignatureChange {
                function: name.clone(),
                old: old.text.clone(),
                new: new.text.clone(),
            })
            .collect()
    }

    /// What of `self` is laid out in another way in `patched`. What only one of them has does not
    /// count: no memory can hold it in the other's layout.
    pub fn changes(&self, patched: &Self) -> Vec<LayoutChange> {
        changes::changes(self, patched)
    }
}
