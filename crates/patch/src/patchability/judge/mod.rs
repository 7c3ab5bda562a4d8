//! The rules: what each touched item means for a livepatch.

mod cut;
mod data;
mod function;
mod macros;
mod replaced;
mod signature;

use std::collections::{HashMap, HashSet};

use super::{
    item::{Item, ItemKind, Key},
    report::{Finding, FunctionChange, TouchedFunction},
    rule::{Level, Rule},
    side::Side,
    view::{Pair, View},
    words::{self, MacroMeaning},
};

/// What was found in one file.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub functions: Vec<TouchedFunction>,
    pub findings: Vec<Finding>,
    /// How many items change in more than comments.
    pub changes: usize,
    /// What is touched, for [`super::series`].
    pub touched: Vec<Key>,
    /// What only comes or only goes here.
    pub lonely: Vec<Lonely>,
    known: Known,
    /// How often the whole file was searched for the users of a name.
    searches: usize,
}

/// What the target's config says; `None` where none is at hand.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Known {
    /// Whether it has network namespaces: without, `__net_init` is `__init`.
    pub namespaces: Option<bool>,
    /// Whether it has kprobes: with them, `nokprobe_inline` is `__always_inline`.
    pub kprobes: Option<bool>,
}

/// A type, variable or function that a view shows on one side only. It may be on the other side of
/// another view.
#[derive(Debug)]
pub(crate) struct Lonely {
    /// See `Item::key`.
    pub key: Key,
    pub is_added: bool,
    /// Whether another file's thing of the same name is another thing.
    pub is_of_file: bool,
    /// What must be the same where it comes: all of it, of a function its declaration.
    pub essence: Vec<Vec<u8>>,
    /// The rule that it breaks if it is not.
    pub rule: Rule,
    pub patch_line: usize,
    /// Its name, for people.
    pub what: String,
}

/// What is said of changed `__initdata`, which may be left out of a build.
pub(super) const INIT_DATA_CHANGES: &str = " changes, and only code that has run uses it";

/// How often a file is searched for the users of a name at most: a hostile patch may change
/// thousands of macros in a long file. What is not searched for stays a doubt.
const SEARCHES: usize = 16;

impl Judged {
    /// Begins with what the config says.
    pub(crate) fn new(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

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
            self.lonely.extend(lonely(&change));
            let found = self.findings.len();
            self.judge_item(&change);
            for finding in &mut self.findings[found..] {
                finding.item = Some(item.key());
            }
            self.touched.push(item.key());
        }
    }

    fn judge_item(&mut self, change: &Change<'_>) {
        if self.replaced(change) {
            return;
        }
        match &change.item.kind {
            ItemKind::Function(_) => self.function(change),
            ItemKind::UnnamedFunction | ItemKind::CutFunction(_) => self.hidden_function(change),
            ItemKind::Variable(variable) => self.variable(change, variable),
            ItemKind::Type { keyword, name, .. } => self.data_type(change, keyword, name),
            ItemKind::Typedef(name) => self.typedef(change, name),
            ItemKind::Macro { name, argument, .. } => self.macro_call(change, name, argument),
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

fn lonely(change: &Change<'_>) -> Option<Lonely> {
    let (side, is_added) = match (change.pair.before, change.pair.after) {
        (None, Some(_)) => (&change.view.after, true),
        (Some(_), None) => (&change.view.before, false),
        _ => return None,
    };
    let item = change.item;
    if item.is_cut {
        return None;
    }
    let whole = item.tokens.clone();
    let (rule, tokens, is_of_file, what) = match &item.kind {
        // What is data besides; another kind of it is another layout.
        ItemKind::Macro { variable: Some(name), .. }
        | ItemKind::Type { declarator: Some(name), .. } => {
            (Rule::ChangedData, whole, true, name.clone())
        }
        ItemKind::Type { name, .. } if name.is_empty() => return None,
        ItemKind::Type { keyword, name, .. } => {
            let rule = if keyword == "enum" { Rule::TypeMeaning } else { Rule::DataStructure };
            (rule, whole, false, format!("{keyword} {name}"))
        }
        ItemKind::Variable(variable) => (Rule::ChangedData, whole, true, variable.name.clone()),
        // All who call a static function are compiled with it.
        ItemKind::Function(header) if !(header.has("static") || header.has("STATIC")) => {
            (Rule::Signature, item.head.clone(), true, format!("{}()", header.name))
        }
        _ => return None,
    };
    let (key, patch_line) = (item.key(), change.patch_line);
    Some(Lonely {
        key,
        is_added,
        is_of_file,
        essence: side.essence(tokens),
        rule,
        patch_line,
        what,
    })
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
    /// Functions that the compiler may put, directly or by way of others, into one that cannot be
    /// replaced: that one, and why it cannot.
    pub inlined_into: HashMap<String, (String, Rule)>,
    /// Functions whose declaration has an attribute: what is defined later has it, too.
    pub(crate) declared: HashMap<String, (String, Rule)>,
    /// Functions that an initcall or an option's macro names, and that macro.
    pub(crate) run_once: HashMap<String, String>,
    /// Whether variables are both added and removed: one may be the other's new name.
    pub renames_data: bool,
}

impl Facts {
    fn of(view: &View) -> Self {
        let mut facts = Self::default();
        let mut calls = Calls::default();
        let sides = [(&view.before, &view.items_before), (&view.after, &view.items_after)];
        for (side, items) in sides {
            for item in items {
                facts.add(side, item, &mut calls);
            }
        }
        facts.inlined_into = calls.inlined_into();
        let pairs = view.pairs();
        let is_data = |item: Option<&Item>| {
            item.is_some_and(|item| matches!(item.kind, ItemKind::Variable(_)))
        };
        facts.renames_data = pairs.iter().any(|pair| is_data(pair.before) && pair.after.is_none())
            && pairs.iter().any(|pair| is_data(pair.after) && pair.before.is_none());
        facts
    }

    fn add(&mut self, side: &Side, item: &Item, calls: &mut Calls) {
        match &item.kind {
            ItemKind::Macro { name, argument, .. } if name.starts_with("EXPORT_SYMBOL") => {
                self.exported.insert(argument.clone());
            }
            ItemKind::Declaration(name) => {
                let words = item.tokens.clone().filter(|at| side.is_name(*at));
                let attribute = words.map(|at| side.name(at)).find_map(|word| {
                    let rule = words::of_function(&word)?;
                    (rule != Rule::InlineFunction).then_some((word, rule))
                });
                self.declared.extend(attribute.map(|attribute| (name.clone(), attribute)));
            }
            ItemKind::Macro { name, .. }
                if words::of_macro(name) == MacroMeaning::Rule(Rule::Initcall) =>
            {
                let names = item.tokens.clone().skip(1).filter(|at| side.is_name(*at));
                let named = names.map(|at| (side.name(at), name.clone()));
                // A module's initcall is still to come where the module is not loaded yet.
                self.run_once.extend(named.filter(|_| name != "module_exit"));
            }
            ItemKind::Function(header) => {
                let rule = header.words.iter().find_map(|word| {
                    words::of_function(word).filter(|rule| *rule != Rule::InlineFunction)
                });
                // A function whose address is taken is not inlined there.
                let is_call = |at: &usize| side.is_name(*at) && side.is(at + 1, b'(');
                let called = item.tokens.clone().filter(is_call).map(|at| side.name(at));
                calls.of.entry(header.name.clone()).or_default().extend(called);
                if let Some(rule) = rule {
                    calls.irreplaceable.push((header.name.clone(), rule));
                }
                if header.has("noinline") {
                    calls.never_inlined.insert(header.name.clone());
                }
            }
            _ => {}
        }
    }
}

/// Which function of a file calls which.
#[derive(Default)]
struct Calls {
    of: HashMap<String, HashSet<String>>,
    irreplaceable: Vec<(String, Rule)>,
    never_inlined: HashSet<String>,
}

impl Calls {
    /// See [`Facts::inlined_into`]. Each function is reached once, whatever the text.
    fn inlined_into(self) -> HashMap<String, (String, Rule)> {
        let mut reached: HashMap<String, (String, Rule)> = HashMap::new();
        for (root, rule) in self.irreplaceable {
            let mut next = vec![root.clone()];
            while let Some(caller) = next.pop() {
                for called in self.of.get(&caller).into_iter().flatten() {
                    let is_new = self.of.contains_key(called)
                        && *called != root
                        && !self.never_inlined.contains(called)
                        && !reached.contains_key(called);
                    if is_new {
                        reached.insert(called.clone(), (root.clone(), rule));
                        next.push(called.clone());
                    }
                }
            }
        }
        reached
    }
}
