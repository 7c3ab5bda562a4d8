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
use elivepatch_patch::{InitChange, init_changes, init_lines, linking_names};

use super::{
    files,
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
    with: Vec<u8>,
    without: Vec<u8>,
    /// How the file was adapted otherwise, when they are left out.
    adaptations: Vec<Adaptation>,
}

/// A changed file on both sides.
struct Sides {
    file: ChangedFile,
    original: Vec<u8>,
    patched: Vec<u8>,
    /// As [`AppliedFixes::old_lines`] gives them.
    old_lines: Vec<Option<usize>>,
}

/// Finds changes that could be left out. `adapted` are the texts that were adapted otherwise.
///
/// None is found when a name in it is also in another change of the fixes, when a file is changed
/// by several fixes, or when a fix would have nothing left.
///
/// # Errors
/// Those of the sandbox.
pub(super) fn find(
    adapter: &SourceAdapter,
    fixes: &AppliedFixes,
    adapted: &[(String, Vec<u8>)],
) -> Result<Option<InitChanges>, Failure> {
    // Nothing is read from the workspace for the most fixes, which touch no such code.
    let changed = fixes.changed_files();
    if !changed.iter().any(|file| touches_init_code(adapter, fixes, file)) {
        return Ok(None);
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
        return Ok(None);
    }
    if let Some(reason) = what_stands_against(&sides, &changes) {
        adapter.log(format!("changes to __init code are not left out: {reason}"));
        return Ok(None);
    }
    let mut files = Vec::new();
    for (side, changes) in sides.iter().zip(&changes).filter(|(_, changes)| !changes.is_empty()) {
        let (text, old_lines) = side.without(changes);
        let mut adaptations = Vec::new();
        let new = adapter.adapt_file(&side.file, &text, old_lines, &mut adaptations)?;
        let with = adapted.iter().find(|(path, _)| *path == side.file.path);
        files.push(InitFile {
            path: side.file.path.clone(),
            fix: side.file.fix.clone(),
            names: changes.iter().map(|change| change.name.clone()).collect(),
            with: with.map_or_else(|| side.patched.clone(), |(_, text)| text.clone()),
            without: new.unwrap_or(text),
            adaptations,
        });
    }
    Ok((!files.is_empty()).then_some(InitChanges { files }))
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

    /// The changed lines, within the changes to `__init` code or beside them.
    fn changed_text(&self, changes: &[InitChange], within: bool) -> Vec<u8> {
        let is_wanted = |line: &usize, range: fn(&InitChange) -> &Range<usize>| {
            changes.iter().any(|change| range(change).contains(line)) == within
        };
        let lines = |text: &'_ [u8]| -> Vec<Vec<u8>> {
            text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
        };
        let (original, patched) = (lines(&self.original), lines(&self.patched));
        let mut text = Vec::new();
        for line in removed(&self.old_lines, original.len()) {
            if is_wanted(&line, |change| &change.original) {
                text.extend_from_slice(&original[line]);
            }
        }
        for (line, old) in self.old_lines.iter().enumerate() {
            if old.is_none() && is_wanted(&line, |change| &change.patched) {
                text.extend_from_slice(patched.get(line).map_or(&[], Vec::as_slice));
            }
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
    let mut within = BTreeSet::new();
    let mut beside: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (side, changes) in sides.iter().zip(changes) {
        within.extend(linking_names(&side.changed_text(changes, true)));
        let names = linking_names(&side.changed_text(changes, false));
        beside.entry(&side.file.fix).or_default().extend(names);
    }
    let shared = |names: &&BTreeSet<String>| !within.is_disjoint(names);
    if let Some(names) = beside.values().find(shared) {
        let names: Vec<&str> = within.intersection(names).map(String::as_str).collect();
        return Some(format!("the rest of the fixes also changes lines with {}", names.join(", ")));
    }
    let (fix, _) = beside.iter().find(|(_, names)| names.is_empty())?;
    Some(format!("{fix} changes nothing else"))
}

impl InitChanges {
    /// The files that hold them.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
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
mod tests {
    use super::*;

    const ORIGINAL: &str = "static int limit;\nstatic int run(void)\n{\n\treturn limit;\n}\n\
        static int __init setup(void)\n{\n\tlimit = 1;\n\treturn 0;\n}\n";

    /// A file of a fix, with `run` and `setup` changed as the texts say.
    fn sides(fix: &str, run: &str, setup: &str) -> (Sides, Vec<InitChange>) {
        let patched = ORIGINAL.replace("\treturn limit;\n", run).replace("\tlimit = 1;\n", setup);
        let kept: Vec<&str> = ORIGINAL.lines().collect();
        // No line of the original occurs twice but those that both sides have as often.
        let mut next = 0;
        let old_lines = patched.lines().map(|line| {
            let at = kept[next..].iter().position(|old| *old == line)?;
            next += at + 1;
            Some(next)
        });
        let side = Sides {
            file: ChangedFile { path: format!("{fix}.c"), fix: fix.into(), moves_lines: true },
            original: ORIGINAL.into(),
            old_lines: old_lines.collect(),
            patched: patched.clone().into(),
        };
        (side, init_changes(ORIGINAL.as_bytes(), patched.as_bytes()))
    }

    fn reason(files: Vec<(Sides, Vec<InitChange>)>) -> Option<String> {
        let (sides, changes): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        what_stands_against(&sides, &changes)
    }

    const RUN: &str = "\treturn old();\n";
    const SETUP: &str = "\tprepare();\n\tlimit = 1;\n";

    #[test]
    fn left_out_function_is_as_it_was_and_its_lines_have_their_numbers() {
        let (side, changes) = sides("fix", "\told();\n\treturn limit;\n", SETUP);
        let (text, old_lines) = side.without(&changes);
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text, ORIGINAL.replace("\treturn limit;\n", "\told();\n\treturn limit;\n"));
        let expected: Vec<Option<usize>> =
            [1, 2, 3].into_iter().map(Some).chain([None]).chain((4..=10).map(Some)).collect();
        assert_eq!(old_lines, expected);
    }

    #[test]
    fn shared_name_keeps_the_change() {
        assert_eq!(reason(vec![sides("fix", "\told();\n\treturn limit;\n", SETUP)]), None);
        let shared = sides("fix", "\tprepare();\n\treturn limit;\n", SETUP);
        let said = reason(vec![shared]).expect("a reason");
        assert_eq!(said, "the rest of the fixes also changes lines with prepare");
        // Also one on a line that goes away, and one of another fix.
        let (removed, other) =
            (sides("fix", RUN, "\tlimit = 2;\n"), sides("b", RUN, "\tlimit = 1;\n"));
        assert!(reason(vec![removed, other]).expect("a reason").ends_with("with limit"));
    }

    #[test]
    fn fix_of_nothing_else_keeps_the_change() {
        let said = reason(vec![
            sides("first", "\treturn limit;\n", SETUP),
            sides("second", "\told();\n\treturn limit;\n", "\tlimit = 1;\n"),
        ]);
        assert_eq!(said.expect("a reason"), "first changes nothing else");
    }
}
