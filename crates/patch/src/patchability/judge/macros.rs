//! Macro calls at file scope and preprocessor lines.

use super::{Change, Judged};
use crate::patchability::{
    body,
    item::{Item, ItemKind},
    rule::{Level, Rule},
    side::Side,
    view::Pair,
    words::{self, MacroMeaning},
};

/// Macros that change what other macros of a file, or the headers that it includes, expand to.
const FAR_REACHING: [&str; 9] = [
    "pr_fmt",
    "dev_fmt",
    "DEBUG",
    "CREATE_TRACE_POINTS",
    "VERBOSE_DEBUG",
    "MODULE_PARAM_PREFIX",
    "KBUILD_MODNAME",
    "KMSG_COMPONENT",
    "DEFAULT_SYMBOL_NAMESPACE",
];

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
            "include" if is_header(name) => {}
            "include" => {
                let subject = format!("{name} is included, and is no header");
                self.find(Rule::MacroChanged, Level::Unsure, line, subject);
            }
            "define" if change.pair.before.is_none() && !FAR_REACHING.contains(&name) => {
                self.new_macro(change, name);
            }
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

    /// A new macro changes what stands below it, if that has the name.
    fn new_macro(&mut self, change: &Change<'_>, name: &str) {
        let view = change.view;
        let below = |item: &Item| item.tokens.start >= change.item.tokens.end;
        let includes = view.items_after.iter().any(|item| {
            below(item)
                && matches!(&item.kind, ItemKind::Directive { word, .. } if word == "include")
        });
        let is_known = || {
            let items = view.items_before.iter();
            let mut users = items.filter(|item| !matches!(item.kind, ItemKind::Directive { .. }));
            users.any(|item| body::mentions(&view.before, item.tokens.clone(), name))
        };
        let subject = if includes {
            format!("{name} is new above an #include, and may change what that holds")
        } else if view.is_whole && self.may_search() && is_known() {
            format!("{name} becomes a macro, and the file uses that name already")
        } else {
            return;
        };
        self.find(Rule::MacroChanged, Level::Unsure, change.patch_line, subject);
    }

    fn defined(&mut self, change: &Change<'_>, name: &str) {
        let subject = format!("the macro {name} changes");
        let view = change.view;
        let mut level = Level::Unsure;
        if view.is_whole && !FAR_REACHING.contains(&name) && self.may_search() {
            // Within another macro's text there are no tokens: such a user is not seen, and a
            // macro is one of many things that may use it.
            let in_macros = view.after.tokens.iter().any(|token| {
                let text = view.after.text(token);
                text.starts_with(b"#")
                    && contains_name(text, name.as_bytes())
                    && !defines(text, name.as_bytes())
            });
            if self.users(change, name) && !in_macros {
                level = Level::Note;
            }
        }
        self.find(Rule::MacroChanged, level, change.patch_line, subject);
    }

    /// Judges all that use a macro as changed, and tells whether they are functions in which it
    /// makes no difference where a changed line stands.
    fn users(&mut self, change: &Change<'_>, name: &str) -> bool {
        let view = change.view;
        let uses = |side: &Side, item: &Item| body::mentions(side, item.tokens.clone(), name);
        let untouched =
            |side: &Side, item: &Item| side.changed_patch_line(item.tokens.clone()).is_none();
        let mut all_plain = true;
        for (side, items) in [(&view.before, &view.items_before), (&view.after, &view.items_after)]
        {
            for item in items.iter().filter(|item| !std::ptr::eq(*item, change.item)) {
                if !uses(side, item) {
                    continue;
                }
                all_plain &= is_plain(side, item, change);
                let is_new_side = std::ptr::eq(side, &view.after);
                if is_new_side && untouched(side, item) {
                    self.user(change, item, name);
                }
            }
        }
        all_plain
    }

    /// A function that changes by a macro alone. Whether its code does is not known: nothing is
    /// refused for it.
    fn user(&mut self, change: &Change<'_>, item: &Item, name: &str) {
        let pair = Pair { before: None, after: Some(item) };
        let patch_line = change.patch_line;
        let (view, facts) = (change.view, change.facts);
        let user = Change { view, facts, pair, item, patch_line };
        let mut judged = Judged::new(self.known);
        judged.changed_function(&user);
        self.functions.append(&mut judged.functions);
        let findings = judged.findings.into_iter().filter(|finding| finding.level != Level::Note);
        self.findings.extend(findings.map(|mut finding| {
            finding.level = Level::Unsure;
            finding.subject += &format!(", and uses {name}");
            finding
        }));
    }
}

/// Whether a function is one of which only the code changes by a macro.
fn is_plain(side: &Side, item: &Item, change: &Change<'_>) -> bool {
    let ItemKind::Function(header) = &item.kind else { return false };
    let has = |wanted: fn(&str) -> bool| {
        let mut tokens = item.tokens.clone();
        tokens.any(|at| side.is_name(at) && wanted(&side.name(at)))
    };
    header.macro_name.is_none()
        && header.words.iter().all(|word| words::of_function(word).is_none())
        && !change.facts.inlined_into.contains_key(&header.name)
        && !has(words::is_static_key)
        && !has(words::is_assembly)
        // The macro may be the size or the initial value of one.
        && body::static_locals(side, item.tokens.clone()).is_empty()
}

/// Whether an `#include` names a header, which `.c` files and tables are not.
fn is_header(included: &str) -> bool {
    let name = included.split(['"', '<', '>']).nth(1).unwrap_or_default();
    name.ends_with(".h")
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
