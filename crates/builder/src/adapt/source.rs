//! Adapting the source that the fixes were applied to.

use std::collections::BTreeSet;

use elivepatch_model::{Adaptation, AdaptationKind, BuildEvent, Failure, StepName};

use super::{files, line_numbers};
use crate::{Observer, apply::AppliedFixes, base::Workspace, sandbox::Sandbox};

/// What was adapted in the patched source, with what it takes to undo it.
#[derive(Debug, Default)]
pub(crate) struct AdaptedSource {
    /// How, for the verdict.
    pub adaptations: Vec<Adaptation>,
    /// The adapted files as the fixes alone make them.
    as_patched: Vec<(String, Vec<u8>)>,
}

/// Adapts the source that `fixes` were applied to.
///
/// # Errors
/// Those of the sandbox.
pub(crate) fn adapt_source(
    fixes: &AppliedFixes,
    without: &BTreeSet<AdaptationKind>,
    workspace: &Workspace,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<AdaptedSource, Failure> {
    let mut adapted = AdaptedSource::default();
    if without.contains(&AdaptationKind::LineNumbers) {
        return Ok(adapted);
    }
    // Most fixes replace lines by as many: then there is nothing to read.
    let moved: Vec<(String, &str)> = fixes
        .moved_lines()
        .into_iter()
        .filter_map(|(file, fix)| fix.map(|fix| (file, fix)))
        .collect();
    let names: Vec<String> = moved.iter().map(|(file, _)| file.clone()).collect();
    let texts = files::read(&names, workspace, sandbox, observer)?;
    let mut numbered_files = Vec::new();
    for ((file, fix), text) in moved.into_iter().zip(texts) {
        let old_lines = fixes.old_lines(&file, text.split_inclusive(|byte| *byte == b'\n').count());
        let say = |detail| {
            let kind = AdaptationKind::LineNumbers;
            Adaptation { kind, fix: fix.to_owned(), file: file.clone(), detail }
        };
        let Some(numbered) = line_numbers::keep(&text, &old_lines) else {
            let line =
                say("lines get other numbers: it has #line directives of its own".to_owned());
            observer.event(BuildEvent::Log { step: StepName::Check, line: line.to_string() });
            continue;
        };
        if numbered.directives == 0 && numbered.lost_from.is_none() {
            continue;
        }
        let adaptation = say(describe(&numbered));
        observer.event(BuildEvent::Log { step: StepName::Check, line: adaptation.to_string() });
        if numbered.directives > 0 {
            adapted.adaptations.push(adaptation);
            adapted.as_patched.push((file.clone(), text));
            numbered_files.push((file, numbered.text));
        }
    }
    let numbered_files: Vec<(String, &[u8])> =
        numbered_files.iter().map(|(file, text)| (file.clone(), text.as_slice())).collect();
    files::write("adapted", &numbered_files, workspace, sandbox, observer)?;
    Ok(adapted)
}

fn describe(numbered: &line_numbers::Numbered) -> String {
    let directives = match numbered.directives {
        0 => "lines get other numbers".to_owned(),
        1 => "1 #line directive keeps the numbers of the lines around the changes".to_owned(),
        number => {
            format!("{number} #line directives keep the numbers of the lines around the changes")
        }
    };
    match numbered.lost_from {
        None => directives,
        Some(line) => format!("{directives}; from line {line} on there is no place for one"),
    }
}

impl AdaptedSource {
    /// Makes the source again what the fixes alone make of it. Gives whether that changed anything.
    ///
    /// # Errors
    /// Those of the sandbox.
    pub(crate) fn undo(
        &self,
        workspace: &Workspace,
        sandbox: &Sandbox,
        observer: &dyn Observer,
    ) -> Result<bool, Failure> {
        let texts: Vec<(String, &[u8])> =
            self.as_patched.iter().map(|(file, text)| (file.clone(), text.as_slice())).collect();
        files::write("as-patched", &texts, workspace, sandbox, observer)?;
        Ok(!texts.is_empty())
    }
}
