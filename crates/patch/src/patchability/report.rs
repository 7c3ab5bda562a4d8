use serde::Serialize;

use super::{
    item::Key,
    rule::{Level, Rule},
};

/// What can be said of patches before they are built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// All in all.
    pub verdict: Verdict,
    /// What the config says.
    pub config: Vec<Finding>,
    /// The files, in the order of the patches.
    pub files: Vec<FileReport>,
}

/// All in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The running kernel contains nothing of what is changed.
    NothingToDo,
    /// Nothing stands in the way as far as the text shows.
    Patchable,
    /// Something may stand in the way.
    Unsure,
    /// Something does.
    Refused,
}

/// What a file is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileRole {
    /// C code that may be compiled into the kernel or a module.
    Code,
    /// A header: compiled wherever it is included.
    Header,
    /// Never in the kernel; left out of the build.
    LeftOut,
    /// Taken away or renamed; its code stays in the running kernel.
    Kept,
    /// Its change cannot be live-patched.
    Refused,
    /// Its change cannot be live-patched if this kernel is built with it, and is left out if not.
    Undecided,
}

/// What a patch does to one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// The patch, as it was named.
    pub patch: String,
    /// The file of the source tree.
    pub path: String,
    /// The line of the patch, from 1, where its change begins.
    pub patch_line: usize,
    /// What it is.
    pub role: FileRole,
    /// What it is, in words; completes "FILE …".
    pub role_text: String,
    /// Whether the whole file was read, and not only what the patch shows.
    pub whole_file_read: bool,
    /// The functions that the patch touches.
    pub functions: Vec<TouchedFunction>,
    /// What stands in the way, or is good to know.
    pub findings: Vec<Finding>,
}

/// A function that a patch touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TouchedFunction {
    /// Its name; `null` when the patch does not show it.
    pub name: Option<String>,
    /// Whether the name is only the beginning: `diff -p` cuts lines to 40 bytes.
    pub name_is_cut: bool,
    /// What happens to it.
    pub change: FunctionChange,
    /// The line of the patch, from 1, of the first change in it.
    pub patch_line: usize,
}

/// What happens to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FunctionChange {
    /// Its body or header changes.
    Changed,
    /// It is new.
    Added,
    /// It goes away.
    Removed,
}

/// One thing that stands in the way, or is good to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// How much it weighs here.
    pub level: Level,
    /// Whether the build notices it. Where it does not, a livepatch may come out that is wrong.
    pub noticed_by_build: bool,
    /// The line of the patch, from 1; `null` when it is about no line.
    pub patch_line: Option<usize>,
    /// What it is about here: a name, and what happens to it.
    pub subject: String,
    /// Why it matters.
    pub why: &'static str,
    /// What the author can do.
    pub advice: &'static str,
    /// Where it is explained: file and anchor within elivepatch's source.
    pub document: String,
    /// What it is about, where that stands at file scope.
    #[serde(skip)]
    pub(crate) item: Option<Key>,
}

impl Finding {
    pub(crate) fn new(
        rule: Rule,
        level: Level,
        patch_line: usize,
        subject: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            level,
            noticed_by_build: rule.is_noticed_by_build(),
            patch_line: (patch_line > 0).then_some(patch_line),
            subject: subject.into(),
            why: rule.why(),
            advice: rule.advice(),
            document: rule.document(),
            item: None,
        }
    }
}

impl From<Level> for Verdict {
    fn from(level: Level) -> Self {
        match level {
            Level::Note => Self::Patchable,
            Level::Unsure => Self::Unsure,
            Level::Refused => Self::Refused,
        }
    }
}
