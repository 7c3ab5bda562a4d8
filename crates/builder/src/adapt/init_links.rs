//! Whether a change to `__init` code hangs together with the other changes of the fixes.
//!
//! The compiled objects cannot tell: init code that makes a buffer larger and a function that fills
//! more of it share no symbol that differs. So the texts are held against each other, and whatever
//! looks like a tie is one: half a fix is worse than none.

use std::{collections::BTreeSet, ops::Range};

use elivepatch_patch::{
    InitChange, is_used_alike, items_with_lines, linking_literals, linking_names,
    names_that_make_memory,
};

use super::init_only::Sides;

/// How many names and literals of a tie are told.
const TIES_TOLD: usize = 5;

/// Names and literals of a piece of text.
struct Words {
    names: BTreeSet<String>,
    literals: BTreeSet<String>,
}

impl Words {
    fn of(text: &[u8]) -> Self {
        Self { names: linking_names(text), literals: linking_literals(text) }
    }
}

/// Something that changes beside the `__init` code.
struct Beside {
    /// The function's name; `None` for what is no function.
    function: Option<String>,
    file: String,
    words: Words,
}

impl Beside {
    /// Whether there is nothing in it: what is no function is always among those that are looked at.
    fn is_empty(&self) -> bool {
        self.function.is_none() && self.words.names.is_empty() && self.words.literals.is_empty()
    }
}

/// How one of the `changes` to `__init` code (those of each of the `sides`) is tied to what else the
/// fixes change: by a name on its changed lines that is anywhere in a function or another item that
/// changes, before or after; or by a number or text that is on changed lines of both. A function
/// that the `__init` code hands over as it did before is no tie by its own name. A change on a line that
/// makes memory is tied to whatever else changes: its users need share no word with it.
pub(super) fn tie(sides: &[Sides], changes: &[Vec<InitChange>]) -> Option<String> {
    let mut beside: Vec<Beside> =
        sides.iter().zip(changes).flat_map(|(side, changes)| beside(side, changes)).collect();
    // A function tells more than the variable that it uses.
    beside.sort_by_key(|other| other.function.is_none());
    for (side, of_side) in sides.iter().zip(changes) {
        for change in of_side {
            let one = std::slice::from_ref(change);
            let words = Words::of(&side.changed_text(one, true));
            let before = lines_of(&side.original, &change.original);
            let after = lines_of(&side.patched, &change.patched);
            let is_alike = |name: &str| is_used_alike(&before, &after, name);
            if let Some((by, other)) =
                beside.iter().find_map(|other| Some((shared(&words, other, is_alike)?, other)))
            {
                let place = match &other.function {
                    Some(function) => format!("{function}() in {}", other.file),
                    None => format!("other changes in {}", other.file),
                };
                return Some(format!("the change to {} is tied to {place} by {by}", change.name));
            }
        }
    }
    if beside.iter().all(Beside::is_empty) {
        return None;
    }
    let mut all =
        sides.iter().zip(changes).flat_map(|(side, of)| of.iter().map(move |c| (side, c)));
    all.find_map(|(side, change)| {
        let text = side.changed_text(std::slice::from_ref(change), true);
        let maker = names_that_make_memory(&text).pop_first()?;
        let what = "other changes may rely on how much memory there is";
        Some(format!("the change to {} is where it calls {maker}(), and {what}", change.name))
    })
}

/// What `words` have in common with something else, for people.
fn shared(words: &Words, other: &Beside, is_alike: impl Fn(&str) -> bool) -> Option<String> {
    let names = words.names.intersection(&other.words.names).cloned();
    let function = other.function.iter().filter(|name| words.names.contains(*name));
    let function = function.filter(|name| !is_alike(name)).cloned();
    let literals = words.literals.intersection(&other.words.literals).cloned();
    let shared: Vec<String> = function.chain(names).chain(literals).take(TIES_TOLD).collect();
    (!shared.is_empty()).then(|| shared.join(", "))
}

/// All that changes in a file beside its changes to `__init` code.
fn beside(side: &Sides, changes: &[InitChange]) -> Vec<Beside> {
    let file = side.file.path.clone();
    let mut found = Vec::new();
    let (removed, added) = side.changed_lines(changes, false);
    for (text, lines) in [(&side.original, removed), (&side.patched, added)] {
        for item in items_with_lines(text, &lines) {
            let mut words = Words::of(&lines_of(text, &item.lines));
            // Numbers and texts tie only where they change: the rest of a body is full of them.
            words.literals.clear();
            if let Some(function) = &item.function {
                words.names.remove(function);
            }
            found.push(Beside { function: item.function, file: file.clone(), words });
        }
    }
    let words = Words::of(&side.changed_text(changes, false));
    found.push(Beside { function: None, file, words: Words { names: BTreeSet::new(), ..words } });
    found
}

fn lines_of(text: &[u8], lines: &Range<usize>) -> Vec<u8> {
    let all = text.split_inclusive(|byte| *byte == b'\n');
    all.skip(lines.start).take(lines.len()).flatten().copied().collect()
}
