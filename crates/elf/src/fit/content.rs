//! Texts and constants that the linker merges with those of other objects: they are compared by what they
//! say, not by where they lie.

use super::{
    field::Field,
    image::Place,
    object::{ObjectSection, ObjectSymbol},
};
use crate::SymbolKind;

/// The longest part of a merged text or constant that is compared, in bytes.
pub(super) const CONTENT_BYTES: usize = 4096;

/// The longest part of a text that a difference shows, in bytes.
pub(super) const SHOWN_BYTES: usize = 80;

/// The content that a field leads to in a section that the linker merges, and where it is in the image.
pub(super) fn content<'data>(
    section: &ObjectSection<'data>,
    symbol: &ObjectSymbol<'_>,
    to: Place,
    field: Field,
    addend: i64,
) -> Option<(&'data [u8], Place)> {
    // A reference to the section counts from its beginning, one to a label from that; for a distance
    // the addend also holds what lies between the field and the end of the instruction.
    let (from, to) = match (symbol.kind, field.is_distance()) {
        (SymbolKind::Section, false) => (addend, to.plus(addend.cast_unsigned())),
        (SymbolKind::Section, true) => {
            let behind = addend.wrapping_add(4);
            (behind, to.plus(behind.cast_unsigned()))
        }
        _ => (0, to),
    };
    let from = usize::try_from(symbol.value.wrapping_add_signed(from)).ok()?;
    Some((section.data.get(from..)?, to))
}

/// Whether two texts are the same up to their ends, but for `./` before a path: so the names of headers
/// in messages (`__FILE__`) begin where a kernel is built in the directory of its source, and not where
/// it is built in another one, as distributions do.
pub(super) fn is_same_text(ours: &[u8], theirs: &[u8]) -> bool {
    let (mut left, mut right) = (0, 0);
    while left < CONTENT_BYTES {
        match (ours.get(left), theirs.get(right)) {
            (Some(0) | None, Some(0) | None) => return true,
            (Some(one), Some(other)) if one == other => {}
            _ if begins_with_dot(ours, left) => {
                left += 2;
                continue;
            }
            _ if begins_with_dot(theirs, right) => {
                right += 2;
                continue;
            }
            _ => return false,
        }
        (left, right) = (left + 1, right + 1);
    }
    true
}

/// Whether a path begins at this place of a text, with `./`.
fn begins_with_dot(text: &[u8], at: usize) -> bool {
    let is_of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    text.get(at..).is_some_and(|rest| rest.starts_with(b"./"))
        && !before.is_some_and(|byte| is_of_path(*byte))
}

/// The beginning of a text.
pub(super) fn shown(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_but_for_a_dot_before_a_path() {
        let same = |ours: &str, theirs: &str| {
            is_same_text(format!("{ours}\0x").as_bytes(), format!("{theirs}\0y").as_bytes())
        };
        assert!(same("a text", "a text"));
        assert!(same("./include/net/a.h", "include/net/a.h"));
        assert!(same("field \"dst\" at include/a.h:2", "field \"dst\" at ./include/a.h:2"));
        for (ours, theirs) in [
            ("a text", "a next"),
            ("a text", "a text and more"),
            ("a text and more", "a text"),
            ("../a.h", "a.h"),
            ("a./b", "ab"),
            ("./include/net/a.h", "include/net/b.h"),
            ("", "x"),
        ] {
            assert!(!same(ours, theirs), "{ours:?} {theirs:?}");
        }
    }
}
