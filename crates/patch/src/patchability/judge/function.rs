//! Functions: their attributes, their signature and what is in them.

use std::collections::HashMap;

use super::{Change, Judged};
use crate::patchability::{
    body::{self, StaticLocal},
    header::FunctionHeader,
    item::{Item, ItemKind},
    report::{Finding, FunctionChange, TouchedFunction},
    rule::{Level, Rule},
    words,
};

/// How many static variables of one name are compared in one function: each block may have one, and
/// no real function has more than a few.
const SAME_NAME: usize = 32;

impl Judged {
    /// Judges a function.
    pub(super) fn function(&mut self, change: &Change<'_>) {
        let (before, after) = (header_of(change.pair.before), header_of(change.pair.after));
        let kind = match (before, after) {
            (None, Some(_)) if !change.item.is_cut => FunctionChange::Added,
            (Some(_), None) if !change.item.is_cut => FunctionChange::Removed,
            _ => FunctionChange::Changed,
        };
        self.function_of_kind(change, kind);
    }

    /// Judges a function that changes without a changed line, of which one side is given.
    pub(super) fn changed_function(&mut self, change: &Change<'_>) {
        self.function_of_kind(change, FunctionChange::Changed);
    }

    fn function_of_kind(&mut self, change: &Change<'_>, kind: FunctionChange) {
        let (before, after) = (header_of(change.pair.before), header_of(change.pair.after));
        let Some(header) = after.or(before) else { return };
        self.functions.push(TouchedFunction {
            name: Some(header.name.clone()),
            name_is_cut: false,
            change: kind,
            patch_line: change.patch_line,
        });
        self.attributes(change, kind, [before, after]);
        self.declaration(change, header);
        match kind {
            FunctionChange::Changed => {
                if let (Some(before), Some(after)) = (before, after) {
                    self.signature(change, before, after);
                }
            }
            FunctionChange::Added => {}
            FunctionChange::Removed => self.removed(change, header),
        }
        if let Some((word, rule)) = change.facts.declared.get(&header.name)
            && !header.has(word)
        {
            let subject = format!("{}() is declared {word}", header.name);
            self.find(*rule, Level::Unsure, change.patch_line, subject);
        }
        if let Some(by) = change.facts.run_once.get(&header.name)
            && kind == FunctionChange::Changed
        {
            let subject = format!("{}() is run once, by {by}: it has run already", header.name);
            let finding = Finding {
                noticed_by_build: false,
                ..Finding::new(Rule::Initcall, Level::Unsure, change.patch_line, subject)
            };
            self.findings.push(finding);
        }
        self.inlined(change, header);
        self.cut_function(change, header);
        self.body(change, Some(header));
    }

    fn attributes(
        &mut self,
        change: &Change<'_>,
        kind: FunctionChange,
        headers: [Option<&FunctionHeader>; 2],
    ) {
        let words = headers.into_iter().flatten().flat_map(|h| h.words.iter().map(move |w| (h, w)));
        let mut seen = Vec::new();
        for (header, word) in words {
            let Some(rule) = words::of_function(word).filter(|rule| !seen.contains(rule)) else {
                continue;
            };
            seen.push(rule);
            let level = match (rule, kind) {
                // It is `__init` only without network namespaces, which nearly all kernels have.
                (Rule::InitCode, _) if word.starts_with("__net_") => match self.known.namespaces {
                    Some(true) => continue,
                    Some(false) => Level::Refused,
                    None => Level::Unsure,
                },
                (Rule::InitCode, _) => Level::Refused,
                (Rule::SectionCode, _) => Level::Refused,
                (Rule::NotTraceable, FunctionChange::Changed) => Level::Refused,
                (Rule::NotTraceable, FunctionChange::Added) => Level::Unsure,
                // Always inlined: there is no copy that would have to be redirected.
                (Rule::InlineFunction, _) if word == "__always_inline" => continue,
                // The same with kprobes, and `inline` without.
                (Rule::InlineFunction, _)
                    if word == "nokprobe_inline" && self.known.kprobes == Some(true) =>
                {
                    continue;
                }
                (Rule::InlineFunction, FunctionChange::Changed) => Level::Unsure,
                _ => continue,
            };
            self.find(rule, level, change.patch_line, format!("{}() is {word}", header.name));
        }
    }

    /// What is hidden by a macro, or by a line that is not shown.
    fn declaration(&mut self, change: &Change<'_>, header: &FunctionHeader) {
        let (line, name) = (change.patch_line, &header.name);
        if let Some(macro_name) = &header.macro_name {
            match words::defines_replaceable_function(macro_name) {
                Some(true) => {
                    self.find(Rule::SystemCall, Level::Unsure, line, format!("{name} changes"));
                }
                Some(false) => {
                    let subject = format!("{name} is an entry point of exceptions");
                    self.find(Rule::NotTraceable, Level::Refused, line, subject);
                }
                None => {
                    let subject = format!("{name}: what the macro makes of it is not shown");
                    self.find(Rule::FunctionUnknown, Level::Unsure, line, subject);
                }
            }
        }
        if !header.begins_before_name {
            let subject = format!("how {name}() is declared is not shown");
            self.find(Rule::FunctionUnknown, Level::Unsure, line, subject);
        }
    }

    fn removed(&mut self, change: &Change<'_>, header: &FunctionHeader) {
        let (line, name) = (change.patch_line, &header.name);
        self.find(Rule::RemovedFunction, Level::Note, line, format!("{name}() goes away"));
        if let Some(before) = change.pair.before {
            for local in body::static_locals(&change.view.before, before.tokens.clone()) {
                let subject = format!("static {} of {name}() goes away with it", local.name);
                self.find(Rule::StaticLocalRemoved, Level::Unsure, line, subject);
            }
        }
        if change.facts.exported.contains(name) {
            let subject = format!("{name}() is exported and goes away");
            self.find(Rule::ExportedSignature, Level::Unsure, line, subject);
        }
    }

    /// Callers into which the compiler may put the function, and which cannot be replaced.
    fn inlined(&mut self, change: &Change<'_>, header: &FunctionHeader) {
        if let Some((caller, rule)) = change.facts.inlined_into.get(&header.name) {
            let subject = format!("{caller}() uses {}() ({})", header.name, rule.as_str());
            self.find(Rule::InlinedCaller, Level::Unsure, change.patch_line, subject);
        }
    }

    /// What changes within the function.
    pub(super) fn body(&mut self, change: &Change<'_>, header: Option<&FunctionHeader>) {
        let name = header.map_or("the function".to_owned(), |header| format!("{}()", header.name));
        if let (Some(before), Some(after)) = (change.pair.before, change.pair.after) {
            self.static_locals(change, before, after, &name);
            self.local_types(change, before, after, &name);
        }
        let sides =
            [(&change.view.before, change.pair.before), (&change.view.after, change.pair.after)];
        let mut once = Vec::new();
        let mut note = |judged: &mut Self, rule, level, line, what: String| {
            if !once.contains(&rule) {
                once.push(rule);
                judged.find(rule, level, line, what);
            }
        };
        for (side, item) in sides.into_iter().filter_map(|(side, item)| Some((side, item?))) {
            let word = |wanted: fn(&str) -> bool| {
                let at = body::changed_word(side, item.tokens.clone(), wanted)?;
                Some((side.name(at), side.changed_patch_line(at..at + 1).unwrap_or(0)))
            };
            let assembly = body::changed_assembly(side, item.tokens.clone());
            let assembly = assembly.map(|(at, line)| (side.name(at), line));
            if let Some((word, line)) = assembly.or_else(|| word(words::is_assembly)) {
                let subject = format!("{word} in {name}");
                note(self, Rule::InlineAssembly, Level::Unsure, line, subject);
            }
            if let Some((word, line)) = word(words::is_locking) {
                note(self, Rule::Locking, Level::Note, line, format!("{word} in {name}"));
            }
            let mentions = |wanted: fn(&str) -> bool| {
                item.tokens.clone().find(|at| side.is_name(*at) && wanted(&side.name(*at)))
            };
            if let Some(at) = mentions(words::is_static_key) {
                let subject = format!("{} in {name}", side.name(at));
                note(self, Rule::StaticKey, Level::Unsure, change.patch_line, subject);
            }
            if let Some(at) = mentions(words::holds_runtime_constant) {
                let subject = format!("{} in {name}", side.name(at));
                note(self, Rule::RuntimeConstant, Level::Unsure, change.patch_line, subject);
            }
            if mentions(words::is_thread_loop).is_some() {
                let subject = format!("{name} is a kernel thread's loop");
                note(self, Rule::LongRunning, Level::Note, change.patch_line, subject);
            }
        }
    }

    fn static_locals(&mut self, change: &Change<'_>, before: &Item, after: &Item, name: &str) {
        let old = body::static_locals(&change.view.before, before.tokens.clone());
        let new = body::static_locals(&change.view.after, after.tokens.clone());
        let (old_by_name, new_by_name) = (by_name(&old), by_name(&new));
        let uses = match old.is_empty() {
            true => Default::default(),
            false => [
                body::uses(&change.view.before, before.tokens.clone()),
                body::uses(&change.view.after, after.tokens.clone()),
            ],
        };
        for local in &old {
            let Some(twin) = counterpart(local, &new_by_name) else {
                let line = change.view.before.changed_patch_line(local.tokens.clone());
                let subject = format!("static {} of {name} goes away", local.name);
                let line = line.unwrap_or(change.patch_line);
                self.find(Rule::StaticLocalRemoved, Level::Refused, line, subject);
                continue;
            };
            if twin.essence != local.essence && !(twin.is_constant && local.is_constant) {
                let line = change.view.after.changed_patch_line(twin.tokens.clone());
                let subject = format!("static {} of {name} is declared differently", local.name);
                let line = line.unwrap_or(change.patch_line);
                self.find(Rule::ChangedData, Level::Refused, line, subject);
            }
            self.unused_local(change, [before, after], &uses, local, name);
        }
        for local in new.iter().filter(|local| !old_by_name.contains_key(local.name.as_str())) {
            if !local.is_constant {
                let line = change.view.after.changed_patch_line(local.tokens.clone());
                let subject = format!("static {} of {name} is new", local.name);
                let line = line.unwrap_or(change.patch_line);
                self.find(Rule::StaticLocalAdded, Level::Note, line, subject);
            }
        }
    }
}

impl Judged {
    /// The compiler leaves a variable out that nothing uses any more.
    fn unused_local(
        &mut self,
        change: &Change<'_>,
        [before, after]: [&Item; 2],
        uses: &[HashMap<&[u8], body::Uses>; 2],
        local: &StaticLocal,
        name: &str,
    ) {
        let [old, new] = uses
            .each_ref()
            .map(|side| side.get(local.name.as_bytes()).copied().unwrap_or_default());
        if old.mentions < 2 || new.mentions != 1 {
            return;
        }
        // One that is only read, or only set, may not have been in the kernel either.
        let level = match old.is_updated && !before.is_cut && !after.is_cut {
            true => Level::Refused,
            false => Level::Unsure,
        };
        let subject = format!("static {} of {name} is not used any more", local.name);
        self.find(Rule::StaticLocalRemoved, level, change.patch_line, subject);
    }

    /// Types within functions: the build compares them as it does all others.
    fn local_types(&mut self, change: &Change<'_>, before: &Item, after: &Item, name: &str) {
        let old = body::local_types(&change.view.before, before.tokens.clone());
        let new = body::local_types(&change.view.after, after.tokens.clone());
        for (key, essence) in &old {
            let Some(twin) = new.get(key).filter(|twin| *twin != essence) else { continue };
            let (keyword, type_name, _) = key;
            let rule = match keyword.as_str() {
                "enum" => Rule::TypeMeaning,
                _ if body::same_but_qualifiers(essence, twin) => continue,
                _ => Rule::DataStructure,
            };
            let what = format!("{keyword} {type_name}");
            let subject = format!("{} within {name} changes", what.trim_end());
            self.find(rule, Level::Unsure, change.patch_line, subject);
        }
    }
}

/// Several blocks of a function may each have a variable of one name.
fn by_name(locals: &[StaticLocal]) -> HashMap<&str, Vec<&StaticLocal>> {
    let mut map: HashMap<&str, Vec<&StaticLocal>> = HashMap::new();
    for local in locals {
        map.entry(&local.name).or_default().push(local);
    }
    map
}

/// The variable of the same name: an equal one if there is one.
fn counterpart<'a>(
    local: &StaticLocal,
    others: &HashMap<&str, Vec<&'a StaticLocal>>,
) -> Option<&'a StaticLocal> {
    let others = others.get(local.name.as_str())?;
    let few = others.iter().take(SAME_NAME).copied();
    few.clone().find(|other| other.essence == local.essence).or_else(|| few.clone().next())
}

fn header_of(item: Option<&Item>) -> Option<&FunctionHeader> {
    match item.map(|item| &item.kind) {
        Some(ItemKind::Function(header)) => Some(header),
        _ => None,
    }
}
