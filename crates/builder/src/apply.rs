//! Applying the fixes to the source, in the sandbox, and finding one's way back from a line of
//! the patched source to a line of a patch.

use std::collections::{BTreeMap, VecDeque};

use elivepatch_model::{Failure, FailureClass, StepName};
use elivepatch_patch::{ApplyReport, FilePatch};

use crate::{Observer, base::Workspace, sandbox::Sandbox};

/// The fixes as they were applied to the source.
#[derive(Debug, Default)]
pub(crate) struct AppliedFixes {
    changes: Vec<AppliedChange>,
}

#[derive(Debug)]
struct AppliedChange {
    fix_name: String,
    file: FilePatch,
    offsets: Vec<i64>,
}

/// A file that fixes change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChangedFile {
    /// Its path in the source tree.
    pub path: String,
    /// The first fix that changes it, or when there is one, that moves lines in it.
    pub fix: String,
    /// Whether lines that no fix changes get other numbers.
    pub moves_lines: bool,
}

/// One change of a fix that is to be applied.
#[derive(Debug)]
pub(crate) struct PlannedChange {
    /// The fix's name.
    pub fix_name: String,
    /// The change.
    pub file: FilePatch,
}

/// Applies the changes to the source of `workspace`, in their order.
///
/// # Errors
/// `patch-does-not-apply` with the hunk and its line; `fix-in-source`; those of the sandbox.
pub(crate) fn apply_fixes(
    changes: Vec<PlannedChange>,
    workspace: &Workspace,
    source: &str,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<AppliedFixes, Failure> {
    let mut applied = AppliedFixes::default();
    let fixes = changes.len();
    let mut changes: VecDeque<PlannedChange> = changes.into();
    for number in 0..fixes {
        let Some(PlannedChange { fix_name, file }) = changes.pop_front() else { break };
        let name = format!("change-{number}.patch");
        let input = workspace.write_input(&name, &file.to_unified())?;
        // The target file is named, so that no header of the patch decides what is written; no
        // fuzz, because a hunk in the wrong place may compile.
        let command = workspace.command([
            "patch",
            "--strip=1",
            "--fuzz=0",
            "--unified",
            "--forward",
            "--no-backup-if-mismatch",
            "--reject-file=-",
            &format!("--input={input}"),
            "--",
            &file.path.to_string(),
        ]);
        let finished = sandbox.run(&command, StepName::Check, observer)?;
        let report = ApplyReport::parse(&finished.text());
        let offsets = report.offsets(&file).filter(|_| finished.succeeded());
        let Some(offsets) = offsets else {
            let mut failure = report
                .failure(&file)
                .unwrap_or_else(|| does_not_apply(&file, source, &finished.last_lines(5)));
            // Behind another change of the same fix it cannot be there: that one did apply.
            let is_first = applied.changes.iter().all(|change| change.fix_name != fix_name);
            let rest = changes.iter().filter(|change| change.fix_name == fix_name);
            let rest = rest.map(|change| &change.file);
            let is_there = is_first
                && failure.class == FailureClass::PatchDoesNotApply
                && can_be_taken_back(
                    [&file].into_iter().chain(rest),
                    workspace,
                    sandbox,
                    observer,
                )?;
            if is_there {
                failure = is_in_source(source);
            }
            return Err(name_fix(failure, &fix_name, fixes));
        };
        applied.changes.push(AppliedChange { fix_name, file, offsets });
    }
    Ok(applied)
}

/// Whether the source holds all changes already: each can be taken back from it, at the lines that it
/// says, give or take those that others moved. Nothing is changed.
fn can_be_taken_back<'a>(
    files: impl Iterator<Item = &'a FilePatch>,
    workspace: &Workspace,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<bool, Failure> {
    for (number, file) in files.enumerate() {
        let input = workspace.write_input(&format!("back-{number}.patch"), &file.to_unified())?;
        let command = workspace.command([
            "patch",
            "--strip=1",
            "--fuzz=0",
            "--unified",
            "--reverse",
            "--force",
            "--dry-run",
            "--reject-file=-",
            &format!("--input={input}"),
            "--",
            &file.path.to_string(),
        ]);
        let finished = sandbox.run(&command, StepName::Check, observer)?;
        if !finished.succeeded() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_in_source(source: &str) -> Failure {
    Failure::new(
        FailureClass::FixInSource,
        format!("{source} has the fix already"),
        "nothing is to be done: the kernel has it, although its version may not say so",
    )
}

fn does_not_apply(file: &FilePatch, source: &str, output: &[String]) -> Failure {
    Failure::new(
        FailureClass::PatchDoesNotApply,
        format!("{} cannot be patched in {source}", file.path),
        "the file's name must be that of the target's source, behind one directory (a/, b/)",
    )
    .with_details(output.iter().cloned())
}

/// With several fixes, says which one it is about.
fn name_fix(mut failure: Failure, fix_name: &str, fixes: usize) -> Failure {
    if fixes > 1 {
        failure.message = format!("{fix_name}: {}", failure.message);
    }
    failure.fix = Some(fix_name.into());
    failure
}

impl AppliedFixes {
    /// The fixes with the files that each changes, in the order of their first change.
    pub(crate) fn files_by_fix(&self) -> Vec<(&str, Vec<String>)> {
        let mut fixes: Vec<(&str, Vec<String>)> = Vec::new();
        for change in &self.changes {
            let path = change.file.path.to_string();
            match fixes.iter_mut().find(|(name, _)| *name == change.fix_name) {
                Some((_, files)) => files.push(path),
                None => fixes.push((&change.fix_name, vec![path])),
            }
        }
        fixes
    }

    /// How many changes were applied with an offset: worth a note.
    pub(crate) fn moved_hunks(&self) -> usize {
        self.changes
            .iter()
            .flat_map(|change| &change.offsets)
            .filter(|offset| **offset != 0)
            .count()
    }

    /// The changed files, sorted.
    pub(crate) fn changed_files(&self) -> Vec<ChangedFile> {
        let mut files: BTreeMap<&str, ChangedFile> = BTreeMap::new();
        for AppliedChange { fix_name, file, .. } in &self.changes {
            let moves_lines = !file.keeps_line_numbers();
            let new = || ChangedFile {
                path: file.path.to_string(),
                fix: fix_name.clone(),
                moves_lines: false,
            };
            let changed = files.entry(file.path.as_str()).or_insert_with(new);
            if moves_lines && !changed.moves_lines {
                changed.fix.clone_from(fix_name);
                changed.moves_lines = true;
            }
        }
        files.into_values().collect()
    }

    /// How many lines a file has after the fixes, when one change of one fix is all that changes it;
    /// `lines` is how many it had.
    pub(crate) fn lines_after_only_change(&self, path: &str, lines: usize) -> Option<usize> {
        let mut changes = self.changes.iter().filter(|change| change.file.path.as_str() == path);
        let change = changes.next().filter(|_| changes.next().is_none())?;
        let hunks = change.file.hunks.iter();
        let (old, new) =
            hunks.fold((0, 0), |(old, new), hunk| (old + hunk.old.length, new + hunk.new.length));
        (lines + new).checked_sub(old)
    }

    /// For each of the `lines` lines of the patched file the number that it had before the fixes,
    /// from 1; `None` for one that a fix added.
    pub(crate) fn old_lines(&self, path: &str, lines: usize) -> Vec<Option<usize>> {
        let mut changes = self.changes.iter().rev();
        let mut old_lines: Vec<Option<usize>> = (1..=lines).map(Some).collect();
        let mut length = lines;
        while let Some(change) = changes.find(|change| change.file.path.as_str() == path) {
            let through = change.file.old_lines(length, &change.offsets);
            for line in &mut old_lines {
                *line = line.and_then(|line| through.get(line - 1).copied().flatten());
            }
            length = through.iter().flatten().max().copied().unwrap_or_default();
        }
        old_lines
    }

    /// The fix and the line of its patch that a line of the patched source comes from; `None` when
    /// it is not in any hunk.
    pub(crate) fn patch_line_of(&self, path: &str, line: usize) -> Option<(&str, usize)> {
        let mut line = line;
        // From the last change of the file back to the first: each line was either written by the
        // change at hand or by an earlier one.
        for change in self.changes.iter().rev().filter(|change| change.file.path.as_str() == path) {
            if let Some(patch_line) = change.file.patch_line_of(line, &change.offsets) {
                return Some((&change.fix_name, patch_line));
            }
            line = change.file.old_line_of(line, &change.offsets)?;
        }
        None
    }
}
