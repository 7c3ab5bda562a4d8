//! Changes to `__init` functions and data beside others. That code is gone in a running kernel, and
//! kpatch refuses an object in which it differs. Such a change can be left out when nothing that the
//! fixes do elsewhere hangs on it.
//!
//! The text finds candidates ([`find`]); whether one is left out the compiled objects decide, for
//! which the source is compiled both ways (`engine::init_only`).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use elivepatch_model::{Adaptation, AdaptationKind, Failure};
use elivepatch_patch::{InitChange, holds_code, init_changes, init_lines};

use super::{
    files, init_links,
    inlined_calls::InlinedCalls,
    source::{SourceAdapter, is_c_text, write},
};
use crate::{
    apply::{AppliedFixes, ChangedFile},
    untrusted_file::read_untrusted_below,
};

/// The source with and without the changes to `__init` functions and data.
#[derive(Debug)]
pub(crate) struct InitChanges {
    files: Vec<InitFile>,
}

#[derive(Debug)]
struct InitFile {
    path: String,
    fix: String,
    names: Vec<String>,
    /// As the fixes alone make it.
    patched: Vec<u8>,
    with: Vec<u8>,
    without: Vec<u8>,
    /// How the file was adapted otherwise, when they are left out.
    adaptations: Vec<Adaptation>,
}

/// What came of looking for such changes.
pub(super) enum Found {
    /// The fixes change no such code.
    Nothing,
    /// These could be left out.
    Changes(InitChanges),
    /// They must stay, for this reason.
    Kept(String),
}

/// That changes to `__init` code stay, for people.
pub(crate) fn kept(reason: &str) -> String {
    format!("changes to __init code are not left out: {reason}")
}

/// A changed file on both sides.
pub(super) struct Sides {
    pub(super) file: ChangedFile,
    pub(super) original: Vec<u8>,
    pub(super) patched: Vec<u8>,
    /// As [`AppliedFixes::old_lines`] gives them.
    old_lines: Vec<Option<usize>>,
}

/// Finds changes that could be left out. `adapted` are the texts that were adapted otherwise,
/// `inlined` are as [`SourceAdapter::adapt`] takes them.
///
/// None is found when one is tied to another change of the fixes (see [`init_links::tie`]), when a
/// file is changed by several fixes, or when a fix would have nothing left.
///
/// # Errors
/// Those of the sandbox.
pub(super) fn find(
    adapter: &SourceAdapter,
    fixes: &AppliedFixes,
    inlined: &InlinedCalls,
    adapted: &[(String, Vec<u8>)],
) -> Result<Found, Failure> {
    // Nothing is read from the workspace for the most fixes, which touch no such code.
    let changed = fixes.changed_files();
    if !changed.iter().any(|file| touches_init_code(adapter, fixes, file)) {
        return Ok(Found::Nothing);
    }
    let names: Vec<String> =
        changed.iter().filter(|file| is_c_text(file)).map(|file| file.path.clone()).collect();
    let texts = files::read(&names, adapter.workspace, adapter.sandbox, adapter.observer)?;
    let mut sides = Vec::new();
    for (file, patched) in changed.into_iter().filter(is_c_text).zip(texts) {
        // A new file has nothing before.
        let original = original(adapter, &file.path).unwrap_or_default();
        let old_lines = fixes.old_lines(&file.path, count_lines(&patched));
        sides.push(Sides { file, original, patched, old_lines });
    }
    let changes: Vec<Vec<InitChange>> = sides.iter().map(|side| side.changes(fixes)).collect();
    if changes.iter().all(Vec::is_empty) {
        return Ok(Found::Nothing);
    }
    if let Some(reason) = what_stands_against(&sides, &changes) {
        adapter.log(kept(&reason));
        return Ok(Found::Kept(reason));
    }
    let mut files = Vec::new();
    for (side, changes) in sides.iter().zip(&changes).filter(|(_, changes)| !changes.is_empty()) {
        let (text, old_lines) = side.without(changes);
        let mut adaptations = Vec::new();
        let new = adapter.adapt_file(&side.file, &text, old_lines, inlined, &mut adaptations)?;
        let with = adapted.iter().find(|(path, _)| *path == side.file.path);
        files.push(InitFile {
            path: side.file.path.clone(),
            fix: side.file.fix.clone(),
            names: changes.iter().map(|change| change.name.clone()).collect(),
            patched: side.patched.clone(),
            with: with.map_or_else(|| side.patched.clone(), |(_, text)| text.clone()),
            without: new.unwrap_or(text),
            adaptations,
        });
    }
    Ok(Found::Changes(InitChanges { files }))
}

/// Whether a fix changes a line of `__init` code, by the text that it changes.
fn touches_init_code(adapter: &SourceAdapter, fixes: &AppliedFixes, file: &ChangedFile) -> bool {
    if !file.path.ends_with(".c") {
        return false;
    }
    let Some(original) = original(adapter, &file.path) else { return false };
    let lines = count_lines(&original);
    let Some(after) = fixes.lines_after_only_change(&file.path, lines) else { return false };
    let old_lines = fixes.old_lines(&file.path, after);
    let mut touched = removed(&old_lines, lines);
    // An added line is where the line before it is.
    let mut before = 0;
    for old in &old_lines {
        match old {
            Some(old) => before = *old,
            None => touched.push(before.saturating_sub(1)),
        }
    }
    let init = init_lines(&original);
    touched.iter().any(|line| init.iter().any(|range| range.contains(line)))
}

/// The lines of the original, from 0, that the fixes take away.
fn removed(old_lines: &[Option<usize>], lines: usize) -> Vec<usize> {
    let kept: BTreeSet<usize> = old_lines.iter().flatten().copied().collect();
    (0..lines).filter(|line| !kept.contains(&(line + 1))).collect()
}

fn original(adapter: &SourceAdapter, path: &str) -> Option<Vec<u8>> {
    read_untrusted_below(&adapter.base.tree(), path, files::FILE_BYTES).ok()
}

fn count_lines(text: &[u8]) -> usize {
    text.split_inclusive(|byte| *byte == b'\n').count()
}

impl Sides {
    fn changes(&self, fixes: &AppliedFixes) -> Vec<InitChange> {
        let lines = count_lines(&self.original);
        let is_one_change = fixes.lines_after_only_change(&self.file.path, lines).is_some();
        match self.file.path.ends_with(".c") && is_one_change {
            true => init_changes(&self.original, &self.patched),
            false => Vec::new(),
        }
    }

    /// The changed lines, within the changes to `__init` code or beside them: those of the original
    /// that went away, and those of the patched text that came.
    pub(super) fn changed_lines(
        &self,
        changes: &[InitChange],
        within: bool,
    ) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let is_wanted = |line: &usize, range: fn(&InitChange) -> &Range<usize>| {
            changes.iter().any(|change| range(change).contains(line)) == within
        };
        let removed = removed(&self.old_lines, count_lines(&self.original)).into_iter();
        let removed = removed.filter(|line| is_wanted(line, |change| &change.original));
        let added = (0..self.old_lines.len()).filter(|line| self.old_lines[*line].is_none());
        let added = added.filter(|line| is_wanted(line, |change| &change.patched));
        (removed.collect(), added.collect())
    }

    /// The text of [`Sides::changed_lines`].
    pub(super) fn changed_text(&self, changes: &[InitChange], within: bool) -> Vec<u8> {
        let (removed, added) = self.changed_lines(changes, within);
        let mut text = Vec::new();
        for (side, lines) in [(&self.original, removed), (&self.patched, added)] {
            let all = side.split_inclusive(|byte| *byte == b'\n').enumerate();
            all.filter(|(line, _)| lines.contains(line))
                .for_each(|(_, line)| text.extend_from_slice(line));
        }
        text
    }

    /// The patched text in which these functions are as they were, with its old lines.
    fn without(&self, changes: &[InitChange]) -> (Vec<u8>, Vec<Option<usize>>) {
        let original: Vec<&[u8]> = self.original.split_inclusive(|byte| *byte == b'\n').collect();
        let patched = self.patched.split_inclusive(|byte| *byte == b'\n');
        let (mut text, mut old_lines) = (Vec::new(), Vec::new());
        for (line, content) in patched.enumerate() {
            match changes.iter().find(|change| change.patched.contains(&line)) {
                None => {
                    text.extend_from_slice(content);
                    old_lines.push(self.old_lines.get(line).copied().flatten());
                }
                Some(change) if change.patched.start == line => {
                    for old in change.original.clone() {
                        text.extend_from_slice(original.get(old).copied().unwrap_or_default());
                        old_lines.push(Some(old + 1));
                    }
                }
                Some(_) => {}
            }
        }
        (text, old_lines)
    }
}

/// Why the changes must stay, by what the texts tell.
fn what_stands_against(sides: &[Sides], changes: &[Vec<InitChange>]) -> Option<String> {
    if let Some(tie) = init_links::tie(sides, changes) {
        return Some(tie);
    }
    let mut changes_else: BTreeMap<&str, bool> = BTreeMap::new();
    for (side, changes) in sides.iter().zip(changes) {
        let has_code = holds_code(&side.changed_text(changes, false));
        *changes_else.entry(&side.file.fix).or_default() |= has_code;
    }
    let (fix, _) = changes_else.iter().find(|(_, has_code)| !**has_code)?;
    Some(format!("{fix} changes nothing else"))
}

impl InitChanges {
    /// The files that hold them.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
    }

    /// Puts the changes back where they had been left out, without what was adapted otherwise.
    ///
    /// # Errors
    /// Those of the sandbox.
    pub(crate) fn as_patched(&self, adapter: &SourceAdapter) -> Result<(), Failure> {
        let text = |file: &InitFile| (file.path.clone(), file.patched.clone());
        write("as-patched-init", &self.files.iter().map(text).collect::<Vec<_>>(), adapter)
    }

    /// Leaves the changes out of the source.
    ///
    /// # Errors
    /// Those of the sandbox.
    pub(crate) fn leave_out(&self, adapter: &SourceAdapter) -> Result<(), Failure> {
        let text = |file: &InitFile| (file.path.clone(), file.without.clone());
        write("without-init", &self.files.iter().map(text).collect::<Vec<_>>(), adapter)
    }

    /// Puts the changes back.
    ///
    /// # Errors
    /// Those of the sandbox.
    pub(crate) fn put_back(&self, adapter: &SourceAdapter) -> Result<(), Failure> {
        let text = |file: &InitFile| (file.path.clone(), file.with.clone());
        write("with-init", &self.files.iter().map(text).collect::<Vec<_>>(), adapter)
    }

    /// How the patches are adapted when the changes are left out, from how they would be otherwise.
    pub(crate) fn adaptations(&self, otherwise: Vec<Adaptation>) -> Vec<Adaptation> {
        let mut adaptations = otherwise;
        let of_source = [AdaptationKind::LineNumbers, AdaptationKind::SyscallDefine];
        adaptations.retain(|made| {
            !(of_source.contains(&made.kind) && self.files().any(|file| file == made.file))
        });
        for file in &self.files {
            adaptations.push(Adaptation {
                kind: AdaptationKind::InitOnly,
                fix: file.fix.clone(),
                file: file.path.clone(),
                detail: format!(
                    "the change to {} is left out: __init code and data are gone in a running \
                     kernel, so it acts at the next boot only, with a kernel that has it",
                    file.names.join(", ")
                ),
            });
            adaptations.extend(file.adaptations.iter().cloned());
        }
        adaptations
    }
}

#[cfg(test)]
#[path = "init_only_tests.rs"]
mod tests;
