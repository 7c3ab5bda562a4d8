use crate::TreePath;

/// A patch as it was sent, read and checked: at least one file, in the order of the patch.
///
/// A file may occur more than once when several commits are in one patch; they are applied in
/// this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePatch {
    /// What the patch does to each file.
    pub files: Vec<FilePatch>,
}

/// What a patch does to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// The file, after the change; a removed file's path before it.
    pub path: TreePath,
    /// What happens to the file as a whole.
    pub kind: ChangeKind,
    /// The line of the patch, from 1, where this file's header begins.
    pub patch_line: usize,
    /// The hunks, in ascending order and without overlap. Only a pure rename, copy or mode change
    /// and an empty file have none.
    pub hunks: Vec<Hunk>,
}

/// What happens to a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// Its text changes; a change of its mode at the same time is not kept.
    Modified,
    /// It is new.
    Added,
    /// It goes away.
    Removed,
    /// It gets a new path, and perhaps a new text.
    Renamed {
        /// Its path before.
        from: TreePath,
    },
    /// It is made from another file that stays.
    Copied {
        /// The other file.
        from: TreePath,
    },
    /// Only its mode changes.
    ModeChanged,
}

/// A range of lines in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRange {
    /// The first line, from 1; with a length of 0 the line after which the range lies.
    pub start: usize,
    /// How many lines.
    pub length: usize,
}

/// One place in a file that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Its lines before the change.
    pub old: LineRange,
    /// Its lines after the change, as the author's file had them.
    pub new: LineRange,
    /// The line of the patch, from 1, that holds the `@@` header.
    pub patch_line: usize,
    /// What stands behind the second `@@`: with `git diff` and `diff -p` the beginning of the last
    /// line before the hunk that looks like a function's. Only for people and for
    /// [`crate::patchability`]: nothing applies a patch by it.
    pub heading: Vec<u8>,
    /// Context, removed and added lines; their numbers agree with `old` and `new`.
    pub lines: Vec<HunkLine>,
}

/// Which of the two files a line of a hunk is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// In both.
    Context,
    /// Only before the change.
    Removed,
    /// Only after it.
    Added,
}

/// One line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HunkLine {
    /// Where it is.
    pub kind: LineKind,
    /// The line without the marker and without its newline; any bytes but NUL and newline.
    pub content: Vec<u8>,
    /// Whether it is the last line of its file and lacks a newline.
    pub lacks_newline: bool,
    /// The line of the patch, from 1, that holds it.
    pub patch_line: usize,
}

impl Hunk {
    /// Where GNU patch first looks for the hunk, from 1. It looks for pure insertions at the line
    /// after the one that the header names.
    pub(crate) fn first_guess(&self) -> usize {
        if self.old.length == 0 { self.old.start + 1 } else { self.old.start }
    }

    /// How many lines longer the file is after the hunk; negative when shorter.
    pub(crate) fn growth(&self) -> i64 {
        // The parser's limit on line numbers keeps both far below 2^63.
        self.new.length as i64 - self.old.length as i64
    }
}
