//! Macro calls at file scope and preprocessor lines.

use super::{Change, Judged};
use crate::patchability::{
    body,
    item::{Item, ItemKind},
    rule::{Level, Rule},
    side::Side,
    words::{self, MacroMeaning},
};

/// Macros that change what other macros of a file, or the headers that it includes, expand to.
const FAR_REACHING: [&str; 5] =
    ["pr_fmt", "dev_fmt", "DEBUG", "CREATE_TRACE_POINTS", "VERBOSE_DEBUG"];

impl Judged {
    /// Judges a macro call.
    pub(super) fn macro_call(&mut self, change: &Change<'_>, name: &str, argument: &str) {
        let line = change.patch_line;
        let what = match (change.pair.before, change.pair.after) {
            (None, _) => "is new",
            (_, None) => "goes away",
            _ => "changes",
        };
        let subject = format!("{name}({argument}) {what}");
        match words::of_macro(name) {
            MacroMeaning::Harmless => {}
            MacroMeaning::Data => match what {
                "is new" => self.find(Rule::NewData, Level::Note, line, subject),
                "goes away" => self.find(Rule::RemovedData, Level::Note, line, subject),
                _ => self.find(Rule::ChangedData, Level::Refused, line, subject),
            },
            MacroMeaning::SectionData => {
                let level = if what == "changes" { Level::Refused } else { Level::Unsure };
                self.find(Rule::SectionData, level, line, subject);
            }
            MacroMeaning::Rule(rule) => {
                let level = match rule {
                    Rule::Callback => Level::Note,
                    Rule::Tracepoint => Level::Refused,
                    _ => Level::Unsure,
                };
                self.find(rule, level, line, subject);
            }
            MacroMeaning::Unknown => self.find(Rule::FileScope, Level::Unsure, line, subject),
        }
    }

    /// Judges a preprocessor line outside functions.
    pub(super) fn directive(&mut self, change: &Change<'_>, word: &str, name: &str) {
        let line = change.patch_line;
        match word {
            "include" => {}
            "define" if change.pair.before.is_none() && !FAR_REACHING.contains(&name) => {}
            "define" | "undef" => self.defined(change, name),
            "if" | "ifdef" | "ifndef" | "elif" | "else" | "endif" => {
                let subject = format!("#{word} outside functions changes");
                self.find(Rule::Conditional, Level::Unsure, line, subject);
            }
            _ => {
                let subject = match word {
                    "" => "a macro whose beginning is not shown changes".to_owned(),
                    _ => format!("#{word} changes"),
                };
                self.find(Rule::MacroChanged, Level::Unsure, line, subject);
            }
        }
    }

    fn defined(&mut self, change: &Change<'_>, name: &str) {
        let subject = format!("the macro {name} changes");
        let view = change.view;
        let mut level = Level::Unsure;
        if view.is_whole && !FAR_REACHING.contains(&name) && self.may_search() {
            let sides = [(&view.before, &view.items_before), (&view.after, &view.items_after)];
            let mut users = sides.into_iter().flat_map(|(side, items)| {
                let of_side = items.iter().map(move |item| (side, item));
                of_side.filter(move |(side, item)| {
                    !std::ptr::eq(*item, change.item)
                        && body::mentions(side, item.tokens.clone(), name)
                })
            });
            // Within another macro's text there are no tokens: such a user is not seen, and a
            // macro is one of many things that may use it.
            let facts = change.facts;
            let is_plain = |side: &Side, item: &Item| match &item.kind {
                ItemKind::Function(header) => {
                    header.words.iter().all(|word| words::of_function(word).is_none())
                        && !facts.inlined_into.contains_key(&header.name)
                        // The macro may be the size or the initial value of one.
                        && body::static_locals(side, item.tokens.clone()).is_empty()
                }
                _ => false,
            };
            let in_macros = view.after.tokens.iter().any(|token| {
                let text = view.after.text(token);
                text.starts_with(b"#")
                    && contains_name(text, name.as_bytes())
                    && !defines(text, name.as_bytes())
            });
            if !in_macros && users.all(|(side, item)| is_plain(side, item)) {
                level = Level::Note;
            }
        }
        self.find(Rule::MacroChanged, level, change.patch_line, subject);
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn contains_name(text: &[u8], name: &[u8]) -> bool {
    if name.is_empty() {
        return true;
    }
    text.split(|byte| !is_name_byte(*byte)).any(|word| word == name)
}

/// Whether a preprocessor line defines the macro and does not only use it.
fn defines(text: &[u8], name: &[u8]) -> bool {
    let mut words = text.split(|byte| !is_name_byte(*byte)).filter(|word| !word.is_empty());
    matches!(words.next(), Some(b"define" | b"undef"))
        && words.next() == Some(name)
        && !words.any(|word| word == name)
}
