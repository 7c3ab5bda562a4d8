//! Data and types.

use super::{Change, INIT_DATA_CHANGES, Judged};
use crate::patchability::{
    body,
    item::{Item, ItemKind, Variable},
    rule::{Level, Rule},
    side::Side,
    words,
};

impl Judged {
    /// Judges a variable.
    pub(super) fn variable(&mut self, change: &Change<'_>, variable: &Variable) {
        let (line, name) = (change.patch_line, &variable.name);
        let has = |wanted: fn(&str) -> bool| variable.words.iter().any(|word| wanted(word));
        if has(|word| matches!(word, "__initdata" | "__initconst" | "__exitdata")) {
            let is_changed = change.pair.before.is_some() && change.pair.after.is_some();
            let subject = match is_changed && !has(|word| word == "__exitdata") {
                true => format!("{name}{INIT_DATA_CHANGES}"),
                false => format!("{name} is used only by code that has run"),
            };
            self.find(Rule::InitCode, Level::Refused, line, subject);
            return;
        }
        let in_section = has(words::is_data_section);
        match (change.pair.before, change.pair.after) {
            (None, _) if !change.item.is_cut => {
                if in_section {
                    let subject = format!("{name} is new in a section of its own");
                    self.find(Rule::SectionData, Level::Unsure, line, subject);
                } else if !variable.is_constant {
                    self.find(Rule::NewData, Level::Note, line, format!("{name} is new"));
                }
            }
            (_, None) if !change.item.is_cut => {
                if in_section {
                    let subject = format!("{name} leaves a section of its own");
                    self.find(Rule::SectionData, Level::Unsure, line, subject);
                } else if !variable.is_constant {
                    let renamed = change.facts.renames_data;
                    let level = if renamed { Level::Unsure } else { Level::Note };
                    self.find(Rule::RemovedData, level, line, format!("{name} goes away"));
                }
            }
            _ if variable.is_constant => self.constant(change, name),
            _ => {
                let subject = format!("{name} is declared or initialised differently");
                self.find(Rule::ChangedData, Level::Refused, line, subject);
            }
        }
    }

    /// Constant data comes along with changed functions, if nothing else uses it.
    fn constant(&mut self, change: &Change<'_>, name: &str) {
        let mut level = Level::Unsure;
        let mut subject = format!("the constant {name} changes");
        if change.view.is_whole && self.may_search() {
            let view = change.view;
            let untouched = view.items_after.iter().find(|item| {
                let tokens = item.tokens.clone();
                !std::ptr::eq(*item, change.item)
                    && !matches!(item.kind, ItemKind::Declaration(_))
                    && body::mentions(&view.after, tokens.clone(), name)
                    && view.after.changed_patch_line(tokens).is_none()
            });
            if let Some(user) = untouched {
                level = Level::Refused;
                subject = format!("the constant {name} changes, and {} uses it", describe(user));
            }
        }
        self.find(Rule::ConstantData, level, change.patch_line, subject);
    }

    /// `struct`, `union` and `enum`.
    pub(super) fn data_type(&mut self, change: &Change<'_>, keyword: &str, name: &str) {
        let is_both = change.pair.before.is_some() && change.pair.after.is_some();
        if !is_both && !change.item.is_cut {
            if keyword == "enum" && change.pair.before.is_some() {
                let subject = format!("{keyword} {name}").trim_end().to_owned() + " goes away";
                self.find(Rule::TypeMeaning, Level::Unsure, change.patch_line, subject);
            }
            return;
        }
        let subject = format!("{keyword} {name}").trim_end().to_owned() + " changes";
        match keyword {
            _ if self.is_same_layout(change) => {
                let subject = format!("{subject} in qualifiers only");
                self.find(Rule::DataStructure, Level::Note, change.patch_line, subject);
            }
            "enum" => self.find(Rule::TypeMeaning, Level::Unsure, change.patch_line, subject),
            _ => self.find(Rule::DataStructure, Level::Refused, change.patch_line, subject),
        }
    }

    /// Whether the sides differ only in words that change no layout.
    fn is_same_layout(&self, change: &Change<'_>) -> bool {
        let (Some(before), Some(after)) = (change.pair.before, change.pair.after) else {
            return false;
        };
        let essence = |side: &Side, item: &Item| side.essence(item.tokens.clone());
        let (old, new) = (essence(&change.view.before, before), essence(&change.view.after, after));
        body::same_but_qualifiers(&old, &new)
    }

    /// `typedef`.
    pub(super) fn typedef(&mut self, change: &Change<'_>, name: &str) {
        if change.pair.before.is_some() {
            let subject = format!("the type {name} changes");
            self.find(Rule::TypeMeaning, Level::Unsure, change.patch_line, subject);
        }
    }
}

fn describe(item: &Item) -> String {
    match &item.kind {
        ItemKind::Function(header) => format!("{}(), which does not change,", header.name),
        ItemKind::Variable(variable) => format!("{}, which is data,", variable.name),
        ItemKind::Macro { name, argument, .. } => format!("{name}({argument})"),
        _ => "something else".to_owned(),
    }
}
