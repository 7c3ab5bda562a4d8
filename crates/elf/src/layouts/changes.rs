//! What differs between the layouts of two objects.

use std::{collections::BTreeMap, fmt};

use super::{Constant, Layouts, Member, Structure};

/// Something that the patched code lays out in memory in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutChange {
    /// What: `struct file`, `enum constant S_MAX`, `variable counter`.
    pub subject: String,
    /// The file that defines it, where the debug information says so.
    pub file: Option<String>,
    /// How it differs.
    pub kind: LayoutChangeKind,
}

/// How something differs. Sizes are in bytes and offsets in bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutChangeKind {
    /// A structure or union takes another amount of memory.
    Size {
        /// As it was.
        old: u64,
        /// As patched.
        new: u64,
    },
    /// A member lies at another place.
    Moved {
        /// The member.
        member: String,
        /// As it was.
        old_bits: u64,
        /// As patched.
        new_bits: u64,
    },
    /// A member is new: in memory that is in use it holds whatever was there.
    Added {
        /// The member.
        member: String,
        /// Where it lies.
        bits: u64,
    },
    /// A member is gone, or has another name.
    Removed {
        /// The member.
        member: String,
        /// Where it was.
        bits: u64,
    },
    /// A member has a type that reads its bytes in another way.
    Retyped {
        /// The member; `None` when it is about a variable as a whole.
        member: Option<String>,
        /// As it was.
        old: String,
        /// As patched.
        new: String,
    },
    /// A constant of an enumeration has another value.
    Value {
        /// As it was.
        old: i64,
        /// As patched.
        new: i64,
    },
}

pub(super) fn changes(original: &Layouts, patched: &Layouts) -> Vec<LayoutChange> {
    let mut changes = Vec::new();
    for (name, old, new) in in_both(&original.structures, &patched.structures) {
        let of_structure = structure_changes(old, new).into_iter().map(|kind| LayoutChange {
            subject: name.to_owned(),
            file: new.file.clone(),
            kind,
        });
        changes.extend(of_structure);
    }
    for (name, old, new) in in_both(&original.variables, &patched.variables) {
        // Another size is something that kpatch sees.
        if old.size != new.size || old.digest == new.digest {
            continue;
        }
        let (old, new) = (old.text.clone(), new.text.clone());
        let kind = LayoutChangeKind::Retyped { member: None, old, new };
        changes.push(LayoutChange { subject: format!("variable {name}"), file: None, kind });
    }
    for (name, old, new) in in_both(&original.constants, &patched.constants) {
        let grows = old.value < new.value && is_end_mark(name, old) && is_end_mark(name, new);
        if old.value != new.value && !grows {
            changes.push(LayoutChange {
                subject: format!("enum constant {name}"),
                file: None,
                kind: LayoutChangeKind::Value { old: old.value, new: new.value },
            });
        }
    }
    changes
}

fn in_both<'a, V>(
    original: &'a BTreeMap<String, V>,
    patched: &'a BTreeMap<String, V>,
) -> impl Iterator<Item = (&'a str, &'a V, &'a V)> {
    original.iter().filter_map(|(name, old)| Some((name.as_str(), old, patched.get(name)?)))
}

fn structure_changes(old: &Structure, new: &Structure) -> Vec<LayoutChangeKind> {
    let mut changes = Vec::new();
    if old.size != new.size {
        changes.push(LayoutChangeKind::Size { old: old.size, new: new.size });
    }
    let mut of_members = Vec::new();
    for (name, member) in &old.members {
        match new.members.get(name) {
            Some(patched) => of_members.extend(
                member_change(name, member, patched).map(|change| (member.offset_bits, change)),
            ),
            None => of_members.push((
                member.offset_bits,
                LayoutChangeKind::Removed { member: name.clone(), bits: member.offset_bits },
            )),
        }
    }
    for (name, member) in new.members.iter().filter(|(name, _)| !old.members.contains_key(*name)) {
        of_members.push((
            member.offset_bits,
            LayoutChangeKind::Added { member: name.clone(), bits: member.offset_bits },
        ));
    }
    // In the order of memory: the first one is the cause, and what follows was pushed along.
    of_members.sort_by_key(|(bits, change)| {
        (
            *bits,
            !matches!(change, LayoutChangeKind::Added { .. } | LayoutChangeKind::Removed { .. }),
        )
    });
    changes.extend(of_members.into_iter().map(|(_, change)| change));
    changes
}

fn member_change(name: &str, old: &Member, new: &Member) -> Option<LayoutChangeKind> {
    if old.offset_bits != new.offset_bits {
        return Some(LayoutChangeKind::Moved {
            member: name.to_owned(),
            old_bits: old.offset_bits,
            new_bits: new.offset_bits,
        });
    }
    let text = |member: &Member| match member.width_bits {
        Some(width) => format!("{}:{width}", member.shape.text),
        None if member.shape.size > 0 => {
            format!("{} of {} bytes", member.shape.text, member.shape.size)
        }
        None => member.shape.text.clone(),
    };
    (old.width_bits != new.width_bits || old.shape.digest != new.shape.digest).then(|| {
        LayoutChangeKind::Retyped { member: Some(name.to_owned()), old: text(old), new: text(new) }
    })
}

/// Whether a constant says how many others there are: it is at the end of its enumeration, and named
/// as the kernel names such. It grows when one is added, and no memory holds it; an array of that
/// size changes its own type.
fn is_end_mark(name: &str, constant: &Constant) -> bool {
    const LAST: [&str; 10] =
        ["MAX", "LAST", "COUNT", "NUM", "NR", "CNT", "SIZE", "END", "ITEMS", "ENTRIES"];
    const FIRST: [&str; 4] = ["NR", "NUM", "N", "MAX"];
    let name = name.rsplit(": ").next().unwrap_or(name).to_ascii_uppercase();
    let mut words = name.split('_').filter(|word| !word.is_empty());
    let (first, last) = (words.next(), words.next_back());
    constant.is_at_end
        && (last.or(first).is_some_and(|word| LAST.contains(&word))
            || (last.is_some() && first.is_some_and(|word| FIRST.contains(&word)))
            || name.starts_with("__"))
}

impl fmt::Display for LayoutChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match &self.kind {
            LayoutChangeKind::Size { old, new } => {
                write!(formatter, "{subject} has {new} bytes instead of {old}")?;
            }
            LayoutChangeKind::Moved { member, old_bits, new_bits } => {
                let (old, new) = (Offset(*old_bits), Offset(*new_bits));
                write!(formatter, "{subject}: {member} moves from offset {old} to {new}")?;
            }
            LayoutChangeKind::Added { member, bits } => {
                write!(formatter, "{subject}: {member} is new at offset {}", Offset(*bits))?;
            }
            LayoutChangeKind::Removed { member, bits } => {
                write!(formatter, "{subject}: {member} at offset {} is gone", Offset(*bits))?;
            }
            LayoutChangeKind::Retyped { member, old, new } => {
                let colon = if member.is_some() { ": " } else { "" };
                let member = member.as_deref().unwrap_or_default();
                write!(formatter, "{subject}{colon}{member} becomes {new}, and was {old}")?;
            }
            LayoutChangeKind::Value { old, new } => {
                write!(formatter, "{subject} is {new} instead of {old}")?;
            }
        }
        match &self.file {
            Some(file) => write!(formatter, " ({file})"),
            None => Ok(()),
        }
    }
}

/// An offset in bytes, with the bit in the byte where it is not the first.
struct Offset(u64);

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0 / 8)?;
        if self.0.is_multiple_of(8) { Ok(()) } else { write!(formatter, " bit {}", self.0 % 8) }
    }
}
