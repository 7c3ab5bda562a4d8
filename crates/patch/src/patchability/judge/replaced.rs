//! Data that keeps its name and becomes something else: a mutex a spinlock, a number a structure.

use super::{Change, Judged};
use crate::patchability::{
    item::{Item, ItemKind, Variable},
    rule::{Level, Rule},
    words::{self, MacroMeaning},
};

/// Words of types that are no structure.
const NUMBERS: [&str; 18] = [
    "char", "short", "int", "long", "bool", "float", "u8", "u16", "u32", "u64", "s8", "s16", "s32",
    "s64", "size_t", "ssize_t", "void", "gfp_t",
];

impl Judged {
    /// Judges data whose declaration is of another kind than it was; `false` where it is of one kind.
    pub(super) fn replaced(&mut self, change: &Change<'_>) -> bool {
        let (Some(before), Some(after)) = (change.pair.before, change.pair.after) else {
            return false;
        };
        if change.item.is_cut {
            return false;
        }
        let Some(name) = after.variable_name().filter(|_| before.variable_name().is_some()) else {
            return false;
        };
        let Some(level) = difference(before, after) else { return false };
        let in_section = [before, after].iter().any(|item| match &item.kind {
            ItemKind::Macro { name, .. } => words::of_macro(name) == MacroMeaning::SectionData,
            ItemKind::Variable(variable) => {
                variable.words.iter().any(|word| words::is_data_section(word))
            }
            _ => false,
        });
        let rule = if in_section { Rule::SectionData } else { Rule::ChangedData };
        let subject = format!("{name} becomes something else");
        self.find(rule, level, change.patch_line, subject);
        true
    }
}

/// How sure it is that the two are not the same to the machine; `None` where the kind is one.
fn difference(before: &Item, after: &Item) -> Option<Level> {
    use ItemKind::{Macro, Type};
    let level = |is_other: bool| Some(if is_other { Level::Refused } else { Level::Unsure });
    match (&before.kind, &after.kind) {
        (ItemKind::Variable(_), ItemKind::Variable(_)) => None,
        (Macro { name: old, argument: a, .. }, Macro { name: new, argument: b, .. }) => {
            if old == new {
                // Of per-cpu data the first argument is the type, of which a number may be another.
                return (a != b && old.contains("PER_CPU")).then_some(Level::Unsure);
            }
            if words::of_macro(old) != words::of_macro(new) {
                return level(true);
            }
            let (old, new) = (words::type_of_macro(old), words::type_of_macro(new));
            level(old.zip(new).is_some_and(|(old, new)| !may_be_same(old, new)))
        }
        (Macro { name, bits, .. }, ItemKind::Variable(variable))
        | (ItemKind::Variable(variable), Macro { name, bits, .. }) => {
            level(words::type_of_macro(name).is_some_and(|of_macro| match of_macro {
                // On x86_64 a `long` holds 64.
                "long" if is_plain(variable) && has(variable, "long") => {
                    bits.is_some_and(|bits| bits > 64) && !variable.is_array
                }
                _ => is_plain(variable) && !has(variable, of_macro),
            }))
        }
        (Type { .. }, ItemKind::Variable(variable))
        | (ItemKind::Variable(variable), Type { .. }) => level(is_number(variable)),
        (Type { name: old, .. }, Type { name: new, .. }) if old == new => None,
        (Type { .. } | Macro { .. }, Type { .. } | Macro { .. }) => level(false),
        _ => None,
    }
}

fn has(variable: &Variable, word: &str) -> bool {
    variable.words.iter().any(|other| other == word)
}

/// Whether the type is no `typedef`, behind which anything may be.
fn is_plain(variable: &Variable) -> bool {
    has(variable, "struct") || is_number(variable)
}

fn is_number(variable: &Variable) -> bool {
    variable.words.iter().any(|word| NUMBERS.contains(&word.as_str()))
}

/// Structures of which one is the other's only member.
fn may_be_same(old: &str, new: &str) -> bool {
    let pair = [old, new];
    let is_of = |names: [&str; 2]| pair.iter().all(|name| names.contains(name));
    old == new || is_of(["spinlock_t", "raw_spinlock_t"]) || is_of(["ida", "xarray"])
}
