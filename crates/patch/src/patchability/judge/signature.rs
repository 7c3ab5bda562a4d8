//! What functions take and give.

use super::{Change, Judged};
use crate::patchability::{
    header::{self, FunctionHeader},
    rule::{Level, Rule},
    side::Side,
    words,
};

impl Judged {
    /// What a function takes and gives, where its declaration is shown on both sides.
    pub(super) fn signature(
        &mut self,
        change: &Change<'_>,
        before: &FunctionHeader,
        after: &FunctionHeader,
    ) {
        let line = change.patch_line;
        let name = &after.name;
        let (Some(item_before), Some(item_after)) = (change.pair.before, change.pair.after) else {
            return;
        };
        // Of a cut function the heading's tokens are not this side's; see [`Self::cut_function`].
        let is_cut = item_before.is_cut || item_after.is_cut;
        if is_cut || item_before.head.is_empty() || item_after.head.is_empty() {
            return;
        }
        let is_static = |header: &FunctionHeader| header.has("static") || header.has("STATIC");
        if is_static(before) != is_static(after) {
            let becomes = if is_static(after) { "static" } else { "global" };
            self.find(Rule::Linkage, Level::Unsure, line, format!("{name}() becomes {becomes}"));
        }
        let is_inline = |header: &FunctionHeader| {
            let words = header.words.iter();
            words.into_iter().any(|word| words::of_function(word) == Some(Rule::InlineFunction))
        };
        if is_inline(before) != is_inline(after) {
            let becomes = if is_inline(after) { "inline" } else { "no longer inline" };
            self.find(Rule::Linkage, Level::Unsure, line, format!("{name}() becomes {becomes}"));
        }
        let view = change.view;
        let parameters_before = types(&view.before, before);
        let parameters_after = types(&view.after, after);
        let same_number = parameters_before.len() == parameters_after.len();
        let is_same = parameters_before == parameters_after && before.result == after.result;
        if is_same || (is_static(before) && is_static(after)) {
            return;
        }
        let subject = format!("{name}() is declared differently");
        if change.facts.exported.contains(name) {
            let level = if same_number { Level::Unsure } else { Level::Refused };
            self.find(Rule::ExportedSignature, level, line, subject);
        } else {
            self.find(Rule::Signature, Level::Unsure, line, subject);
        }
    }
}

/// The parameters without their names.
fn types(side: &Side, header: &FunctionHeader) -> Vec<Vec<Vec<u8>>> {
    let mut parameters = header::parameters(side, header.parameters.clone());
    for parameter in &mut parameters {
        let is_name = |text: &Vec<u8>| {
            text.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        };
        if parameter.len() > 1 && parameter.last().is_some_and(is_name) {
            parameter.pop();
        }
    }
    parameters
}
