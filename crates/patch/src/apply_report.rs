use std::collections::BTreeMap;

use elivepatch_model::{Failure, FailureClass};

use crate::FilePatch;

/// What GNU patch printed when it applied, or tried to apply, one file's hunks.
///
/// Written for GNU patch 2.7 with `LC_ALL=C`. It says nothing of a hunk that fits exactly, so what
/// it does not mention has been applied without offset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApplyReport {
    hunks: BTreeMap<usize, HunkOutcome>,
    looks_applied: bool,
    all_ignored: bool,
    messages: Vec<String>,
}

/// What became of one hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HunkOutcome {
    /// It was applied.
    Applied {
        /// How many lines further down than the hunk says; negative when further up.
        offset: i64,
        /// How many context lines at each end were not looked at.
        fuzz: u32,
    },
    /// It does not fit.
    Failed {
        /// The line of the file where it should have been.
        line: u64,
    },
    /// It was not tried.
    Ignored,
}

impl ApplyReport {
    /// Reads the standard output of GNU patch. Lines that are not about hunks are kept as messages.
    pub fn parse(output: &str) -> Self {
        let mut report = Self::default();
        for line in output.lines() {
            let line = line.trim_end();
            if let Some((number, outcome)) = hunk_line(line) {
                report.hunks.insert(number, outcome);
            } else if line.starts_with("Reversed (or previously applied) patch detected!") {
                report.looks_applied = true;
            } else if is_ignored_count(line) {
                report.all_ignored = true;
            } else if !is_expected(line) {
                report.messages.push(line.to_owned());
            }
        }
        report
    }

    /// What became of a hunk; `number` counts from 1, as GNU patch counts.
    pub fn outcome(&self, number: usize) -> HunkOutcome {
        match self.hunks.get(&number) {
            Some(outcome) => *outcome,
            None if self.all_ignored => HunkOutcome::Ignored,
            None => HunkOutcome::Applied { offset: 0, fuzz: 0 },
        }
    }

    /// Whether the file looks as if the patch had been applied before.
    pub fn looks_already_applied(&self) -> bool {
        self.looks_applied
    }

    /// Lines that are neither about hunks nor about which file is patched, such as `patch: ****`.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// The offset of each of the file's hunks; `None` unless all were applied.
    pub fn offsets(&self, file: &FilePatch) -> Option<Vec<i64>> {
        let offset = |number| match self.outcome(number) {
            HunkOutcome::Applied { offset, .. } if !self.looks_applied => Some(offset),
            _ => None,
        };
        (1..=file.hunks.len()).map(offset).collect()
    }

    /// The failure to report when not all hunks of `file` were applied, with every hunk that
    /// failed, by its line in the file and in the patch.
    pub fn failure(&self, file: &FilePatch) -> Option<Failure> {
        if self.offsets(file).is_some() {
            return None;
        }
        let path = &file.path;
        if self.looks_applied {
            let message = format!("{path} looks as if the patch had been applied already");
            let hint = "check that the target needs this fix: its source seems to have it";
            return Some(Failure::new(FailureClass::PatchDoesNotApply, message, hint));
        }
        let count = file.hunks.len();
        let failed: Vec<String> = (1..)
            .zip(&file.hunks)
            .filter_map(|(number, hunk)| match self.outcome(number) {
                HunkOutcome::Applied { .. } => None,
                HunkOutcome::Failed { line } => Some(format!(
                    "hunk {number} of {count} (line {} of the patch) does not apply to {path} at line {line}",
                    hunk.patch_line
                )),
                HunkOutcome::Ignored => Some(format!(
                    "hunk {number} of {count} (line {} of the patch) was not tried on {path}",
                    hunk.patch_line
                )),
            })
            .collect();
        let message = match failed.as_slice() {
            [first] => first.clone(),
            [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
            [] => format!("the patch does not apply to {path}"),
        };
        let hint = "make the patch against the exact source of the target's kernel, or backport it";
        // One failed hunk is in the message already.
        let details = if failed.len() > 1 { failed } else { Vec::new() };
        Some(Failure::new(FailureClass::PatchDoesNotApply, message, hint).with_details(details))
    }
}

/// Reads `Hunk #1 succeeded at 50 with fuzz 1 (offset 3 lines).` and `Hunk #2 FAILED at 45.`
fn hunk_line(line: &str) -> Option<(usize, HunkOutcome)> {
    let (number, rest) = line.strip_prefix("Hunk #")?.split_once(' ')?;
    let number = number.parse().ok()?;
    if let Some(rest) = rest.strip_prefix("FAILED at ") {
        let line = leading_number(rest)?;
        return Some((number, HunkOutcome::Failed { line }));
    }
    let rest = rest.strip_prefix("succeeded at ")?;
    let after = |word: &str| rest.split_once(word).map(|(_, text)| text);
    let offset = match after("(offset ") {
        Some(text) => text.split(' ').next()?.parse().ok()?,
        None => 0,
    };
    let fuzz = match after(" with fuzz ") {
        Some(text) => leading_number(text)?,
        None => 0,
    };
    Some((number, HunkOutcome::Applied { offset, fuzz: u32::try_from(fuzz).ok()? }))
}

fn leading_number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// `2 out of 2 hunks ignored`, also followed by where the rejects are saved.
fn is_ignored_count(line: &str) -> bool {
    line.contains(" out of ") && line.contains(" ignored")
}

fn is_expected(line: &str) -> bool {
    line.is_empty()
        || line.starts_with("checking file ")
        || line.starts_with("patching file ")
        || (line.contains(" out of ") && line.contains(" FAILED"))
}
