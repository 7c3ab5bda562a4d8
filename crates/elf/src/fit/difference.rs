use std::fmt;

use super::field::{Field, is_relaxed};

/// A function that is not what the image has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeDifference {
    /// Its name.
    pub function: String,
    /// What is different.
    pub kind: DifferenceKind,
}

/// How a function differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The image has no such function.
    Missing,
    /// Its size is another one.
    Size {
        /// In the object, in bytes.
        object: u64,
        /// In the image, in bytes.
        image: u64,
    },
    /// A byte is another one.
    Byte {
        /// Its offset in the function.
        offset: u64,
        /// In the object.
        object: u8,
        /// In the image.
        image: u8,
    },
    /// A field leads somewhere else.
    Target {
        /// The offset of the field in the function.
        offset: u64,
        /// What it leads to in the object.
        symbol: String,
    },
    /// The image has a field where the object has a number.
    Number {
        /// The offset of the field in the function.
        offset: u64,
    },
    /// A field is of a kind that is not known.
    Relocation {
        /// The offset of the field in the function.
        offset: u64,
        /// The number of its type.
        kind: u32,
    },
    /// It is the same, and lies elsewhere than beside its neighbours.
    Moved,
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("the target has no such function"),
            Self::Size { object, image } => {
                write!(formatter, "compiled it has {object} bytes, in the target {image}")
            }
            Self::Byte { offset, object, image } => write!(
                formatter,
                "at offset {offset:#x} it is compiled to {object:#04x}, and the target has {image:#04x}"
            ),
            Self::Target { offset, symbol } => write!(
                formatter,
                "at offset {offset:#x} it leads to {symbol}, and in the target elsewhere"
            ),
            Self::Number { offset } => write!(
                formatter,
                "at offset {offset:#x} it has a number, and the target leads to something"
            ),
            Self::Relocation { offset, kind } => {
                write!(
                    formatter,
                    "at offset {offset:#x} is a relocation of the unknown type {kind}"
                )
            }
            Self::Moved => formatter.write_str("in the target it has other neighbours"),
        }
    }
}

/// The first byte in a range that differs; `field` follows the range.
pub(super) fn differing_byte(
    ours: &[u8],
    theirs: &[u8],
    range: std::ops::Range<usize>,
    field: Field,
) -> Option<DifferenceKind> {
    let range = range.start.min(ours.len())..range.end.min(ours.len());
    if range.start >= range.end || ours[range.clone()] == theirs[range.clone()] {
        return None;
    }
    let differs = |at: &usize| ours[*at] != theirs[*at];
    let offset = range.clone().find(differs)?;
    if field == Field::Indirect && offset + 2 >= range.end && range.len() >= 2 {
        let two = |bytes: &[u8]| [bytes[range.end - 2], bytes[range.end - 1]];
        if is_relaxed(two(ours), two(theirs)) {
            return None;
        }
    }
    let (object, image) = (ours[offset], theirs[offset]);
    Some(DifferenceKind::Byte { offset: offset as u64, object, image })
}
