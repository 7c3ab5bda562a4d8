//! The rules: what each touched item means for a livepatch.

mod data;
mod function;
mod macros;

use std::collections::HashSet;

use super::{
    item::{Item, ItemKind},
    report::{Finding, FunctionChange, TouchedFunction},
    rule::{Level, Rule},
    side::Side,
    view::{Pair, View},
    words,
};

/// What was found in one file.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub functions: Vec<TouchedFunction>,
    pub findings: Vec<Finding>,
    /// How many items change in more than comments.
    pub changes: usize,
    /// How often the whole file was searched for the users of a name.
    searches: usize,
}

/// How often a file is searched for the users of a name at most: a hostile patch may change
/// thousands of macros in a long file. What is not searched for stays a doubt.
const SEARCHES: usize = 16;

impl Judged {
    /// Whether one more search through the whole file is allowed.
    fn may_search(&mut self) -> bool {
        self.searches += 1;
        self.searches <= SEARCHES
    }

    /// Adds a finding.
    pub(crate) fn find(
        &mut self,
        rule: Rule,
        level: Level,
        patch_line: usize,
        subject: impl Into<String>,
    ) {
        let finding = Finding::new(rule, level, patch_line, subject);
        self.findings.push(finding);
    }

    /// Judges one view of the file.
    pub(crate) fn judge(&mut self, view: &View) {
        let facts = Facts::of(view);
        for pair in view.pairs() {
            self.changes += 1;
            let Some(item) = pair.after.or(pair.before) else { continue };
            let patch_line = view.patch_line(&pair);
            let change = Change { view, facts: &facts, pair, item, patch_line };
            self.judge_item(&change);
        }
    }

    fn judge_item(&mut self, change: &Change<'_>) {
        match &change.item.kind {
            ItemKind::Function(_) => self.function(change),
            ItemKind::UnnamedFunction | ItemKind::CutFunction(_) => self.hidden_function(change),
            ItemKind::Variable(variable) => self.variable(change, variable),
            ItemKind::Type { keyword, name } => self.data_type(change, keyword, name),
            ItemKind::Typedef(name) => self.typedef(change, name),
            ItemKind::Macro { name, argument } => self.macro_call(change, name, argument),
            ItemKind::Directive { word, subject } => self.directive(change, word, subject),
            ItemKind::Assembly => {
                let line = change.patch_line;
                self.find(Rule::Assembly, Level::Refused, line, "assembly outside functions");
            }
            ItemKind::Declaration(_) | ItemKind::Nothing => {}
            ItemKind::Unknown => self.unknown(change),
        }
    }

    fn hidden_function(&mut self, change: &Change<'_>) {
        let (name, subject) = match &change.item.kind {
            ItemKind::CutFunction(name) => (
                Some(name.clone()),
                format!("the patch shows only the beginning of a function's line: {name}…"),
            ),
            _ => (None, "the patch does not show which function this is in".to_owned()),
        };
        self.functions.push(TouchedFunction {
            name_is_cut: name.is_some(),
            name,
            change: FunctionChange::Changed,
            patch_line: change.patch_line,
        });
        self.find(Rule::FunctionUnknown, Level::Unsure, change.patch_line, subject);
        self.body(change, None);
    }

    fn unknown(&mut self, change: &Change<'_>) {
        if change.item.is_cut {
            let subject = "the patch does not show what this is in: a function, data or a type";
            self.find(Rule::FunctionUnknown, Level::Unsure, change.patch_line, subject);
            self.body(change, None);
        } else {
            let subject = "something outside functions that is not understood";
            self.find(Rule::FileScope, Level::Unsure, change.patch_line, subject);
        }
    }
}

/// One touched item and what belongs to it.
pub(crate) struct Change<'a> {
    pub view: &'a View,
    pub facts: &'a Facts,
    pub pair: Pair<'a>,
    /// The item as it becomes; a removed one as it was.
    pub item: &'a Item,
    pub patch_line: usize,
}

/// What of the rest of the view matters to its items.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// What `EXPORT_SYMBOL` names.
    pub exported: HashSet<String>,
    /// Functions that cannot be replaced, and what they call.
    pub irreplaceable: Vec<(String, Rule, HashSet<String>)>,
    /// Whether variables are both added and removed: one may be the other's new name.
    pub renames_data: bool,
}

impl Facts {
    fn of(view: &View) -> Self {
        let mut facts = Self::default();
        let sides = [(&view.before, &view.items_before), (&view.after, &view.items_after)];
        for (side, items) in sides {
            for item in items {
                facts.add(side, item);
            }
        }
        let pairs = view.pairs();
        let is_data = |item: Option<&Item>| {
            item.is_some_and(|item| matches!(item.kind, ItemKind::Variable(_)))
        };
        facts.renames_data = pairs.iter().any(|pair| is_data(pair.before) && pair.after.is_none())
            && pairs.iter().any(|pair| is_data(pair.after) && pair.before.is_none());
        facts
    }

    fn add(&mut self, side: &Side, item: &Item) {
        match &item.kind {
            ItemKind::Macro { name, argument } if name.starts_with("EXPORT_SYMBOL") => {
                self.exported.insert(argument.clone());
            }
            ItemKind::Function(header) => {
                let rule = header.words.iter().find_map(|word| {
                    words::of_function(word).filter(|rule| *rule != Rule::InlineFunction)
                });
                if let Some(rule) = rule {
                    // A function whose address is taken is not inlined there.
                    let calls = |at: &usize| side.is_name(*at) && side.is(at + 1, b'(');
                    let names = item.tokens.clone().filter(calls);
                    let names = names.map(|at| side.name(at)).collect();
                    self.irreplaceable.push((header.name.clone(), rule, names));
                }
            }
            _ => {}
        }
    }
}
