//! The reader of unified diffs.
//!
//! Written by hand, since diffy 0.5 cannot carry it: its `PatchSet` reads either git's or plain
//! diffs, while a mail may hold both; its lines do not say where in the patch they stand, which
//! compiler errors are mapped to; and it takes text between files as noise, where a hunk that lost
//! its header or has more lines than it says must be an error and not half a fix.
//!
//! The rules are those of GNU patch, but for its guesses: what GNU patch would skip, ask about or
//! repair is an error with its line. Endings in CR LF are refused in headers, since they show that
//! the whole patch was converted; in the lines of a hunk they are content like any other byte.

mod git_header;
mod hunk;
mod name;

use elivepatch_model::limits;

use crate::{ChangeKind, FilePatch, Hunk, PatchError, SourcePatch, TreePath};
use name::Name;

/// The lines of a patch with a position in them.
struct Parser<'a> {
    lines: Vec<&'a [u8]>,
    /// Index of the next line.
    at: usize,
}

impl SourcePatch {
    /// Reads a patch: the output of git format-patch, git diff, or diff -u, with strip level 1.
    ///
    /// The path of a file comes from its `+++` line, and from its `---` line when it is removed.
    ///
    /// # Errors
    /// When the text is too large, empty or not a unified diff; when it changes binary files or
    /// symbolic links; when a path is not one inside a source tree.
    pub fn parse(bytes: &[u8]) -> Result<Self, PatchError> {
        Self::parse_within(bytes, limits::PATCH_BYTES, limits::PATCH_LINES)
    }

    /// Reads a patch that is compiled into the running kernel. It may be larger than a fix; what it
    /// may touch is the caller's matter.
    ///
    /// # Errors
    /// As [`SourcePatch::parse`].
    pub fn parse_baseline(bytes: &[u8]) -> Result<Self, PatchError> {
        Self::parse_within(bytes, limits::BASELINE_PATCH_BYTES, limits::BASELINE_PATCH_LINES)
    }

    fn parse_within(bytes: &[u8], most_bytes: u64, most_lines: usize) -> Result<Self, PatchError> {
        if bytes.len() as u64 > most_bytes {
            return Err(PatchError::TooLarge { bytes: bytes.len(), limit: most_bytes });
        }
        if bytes.trim_ascii().is_empty() {
            return Err(PatchError::Empty);
        }
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        if lines > most_lines {
            return Err(PatchError::TooManyLines { lines, limit: most_lines });
        }
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        // What follows the last newline is a line only when there is something.
        lines.pop_if(|last| last.is_empty());
        let mut parser = Parser { lines, at: 0 };
        let mut files = Vec::new();
        let mut saw_header = false;
        while let Some(line) = parser.peek() {
            if line.starts_with(b"diff --git ") {
                saw_header = true;
                files.extend(parser.git_entry()?);
            } else if parser.at_file_header() {
                saw_header = true;
                files.push(parser.plain_entry()?);
            } else {
                parser.check_text(line)?;
                parser.at += 1;
            }
        }
        match (files.is_empty(), saw_header) {
            (false, _) => Ok(Self { files }),
            (true, true) => Err(PatchError::Empty),
            (true, false) => Err(PatchError::NotADiff),
        }
    }
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a [u8]> {
        self.lines.get(self.at).copied()
    }

    /// The number of the next line in the patch, from 1.
    fn line_number(&self) -> usize {
        self.at + 1
    }

    fn error<T>(&self, problem: impl Into<String>) -> Result<T, PatchError> {
        Err(unreadable(self.line_number(), problem))
    }

    fn at_file_header(&self) -> bool {
        let starts = |at: usize, prefix| self.lines.get(at).is_some_and(|l| l.starts_with(prefix));
        starts(self.at, b"--- ") && starts(self.at + 1, b"+++ ")
    }

    /// Looks for parts of diffs in what would otherwise be text between them.
    fn check_text(&self, line: &[u8]) -> Result<(), PatchError> {
        if line.starts_with(b"@@ -") {
            return self
                .error("a hunk without a file header (\"--- FILE\", \"+++ FILE\") before it");
        }
        if line.starts_with(b"diff --cc ") || line.starts_with(b"diff --combined ") {
            return self.error("the combined diff of a merge; send the diff against one parent");
        }
        let next = self.lines.get(self.at + 1);
        if line.starts_with(b"*** ") && next.is_some_and(|next| next.starts_with(b"--- ")) {
            return self.error("a context diff; make a unified one with diff -u");
        }
        if is_binary_notice(line) {
            return Err(PatchError::Binary { line: self.line_number() });
        }
        Ok(())
    }

    /// Reads `--- OLD`, `+++ NEW` and the hunks of a file without git's headers.
    fn plain_entry(&mut self) -> Result<FilePatch, PatchError> {
        let patch_line = self.line_number();
        let (old, new, hunks) = self.header_and_hunks()?;
        self.file_from_names(patch_line, &old, &new, hunks)
    }

    fn header_and_hunks(&mut self) -> Result<(Name, Name, Vec<Hunk>), PatchError> {
        let old = self.file_name(b"--- ")?;
        let new = self.file_name(b"+++ ")?;
        if !self.peek().is_some_and(|line| line.starts_with(b"@@ -")) {
            return self.error("a file header must be followed by a hunk (\"@@ -LINE,COUNT …\")");
        }
        Ok((old, new, self.hunks()?))
    }

    fn file_name(&mut self, prefix: &[u8]) -> Result<Name, PatchError> {
        let line = self.line_number();
        let text = self.peek().and_then(|text| text.strip_prefix(prefix)).unwrap_or_default();
        self.at += 1;
        Name::parse(text, line)
    }

    fn file_from_names(
        &self,
        patch_line: usize,
        old: &Name,
        new: &Name,
        hunks: Vec<Hunk>,
    ) -> Result<FilePatch, PatchError> {
        let (path, kind) = match (old.stripped()?, new.stripped()?) {
            (None, None) => {
                return Err(unreadable(patch_line, "both files are /dev/null"));
            }
            (None, Some(path)) => (path, ChangeKind::Added),
            (Some(path), None) => (path, ChangeKind::Removed),
            (Some(_), Some(path)) => (path, kind_by_ranges(&hunks)),
        };
        Ok(FilePatch { path: name::tree_path(&path, new_line(old, new))?, kind, patch_line, hunks })
    }
}

/// The line that the path is taken from.
fn new_line(old: &Name, new: &Name) -> usize {
    if new.is_null() { old.line } else { new.line }
}

/// `diff -N` names an absent file like a present one; that it is absent shows in its range `0,0`.
fn kind_by_ranges(hunks: &[Hunk]) -> ChangeKind {
    match hunks {
        [hunk] if hunk.old.start == 0 => ChangeKind::Added,
        [hunk] if hunk.new.start == 0 => ChangeKind::Removed,
        _ => ChangeKind::Modified,
    }
}

fn is_binary_notice(line: &[u8]) -> bool {
    let differ = line.starts_with(b"Binary files ") && line.trim_ascii_end().ends_with(b" differ");
    differ || line.starts_with(b"GIT binary patch")
}

fn unreadable(line: usize, problem: impl Into<String>) -> PatchError {
    PatchError::Unreadable { line, problem: problem.into() }
}

/// The tree path of a name that git writes without a prefix, as in `rename from`.
fn unprefixed(name: &Name) -> Result<TreePath, PatchError> {
    name::tree_path(&name.text, name.line)
}
