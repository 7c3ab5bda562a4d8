use elivepatch_model::{Failure, FailureClass, StepName};

use crate::{DroppedFile, Refusal};

/// What is wrong with a patch that a mail program or a Windows editor has rewritten.
pub(crate) const CARRIAGE_RETURN: &str = "ends in CR LF";

/// Why a patch is refused before anything is built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch has more bytes than one of its kind may have.
    #[error("the patch has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: u64,
    },
    /// The patch has more lines than one of its kind may have.
    #[error("the patch has {lines} lines, the limit is {limit}")]
    TooManyLines {
        /// Its lines.
        lines: usize,
        /// The limit.
        limit: usize,
    },
    /// The patch is blank, or has file headers but neither hunk nor any other change.
    #[error("the patch is empty: it has no hunk")]
    Empty,
    /// Nothing in the text looks like a unified diff.
    #[error("this is not a unified diff: it has no line pair \"--- FILE\", \"+++ FILE\"")]
    NotADiff,
    /// A line of the patch is not what a unified diff has in its place.
    #[error("line {line} of the patch: {problem}")]
    Unreadable {
        /// The line of the patch, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// The patch changes a file that is not text.
    #[error("line {line} of the patch changes a binary file")]
    Binary {
        /// The line of the patch, from 1.
        line: usize,
    },
    /// A path is absolute or would leave the source tree.
    #[error("line {line} of the patch: the path \"{path}\" {problem}")]
    OutsideTree {
        /// The line of the patch, from 1.
        line: usize,
        /// The path as sent, escaped and cut.
        path: String,
        /// What is wrong with it.
        problem: crate::TreePathError,
    },
    /// The patch makes, changes or removes a symbolic link.
    #[error("line {line} of the patch makes or changes a symbolic link")]
    SymbolicLink {
        /// The line of the patch, from 1.
        line: usize,
    },
    /// Nothing is left of the patch after the files that are never in this kernel are dropped.
    #[error("the patch touches no code of this kernel: {}", first_dropped(.0))]
    NoCode(Vec<DroppedFile>),
    /// The patch touches files whose change cannot be live-patched; there is at least one.
    #[error("{}", first_refused(.0))]
    Refused(Vec<Refusal>),
}

impl PatchError {
    /// The stable class.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::TooLarge { .. } | Self::TooManyLines { .. } => FailureClass::PatchTooLarge,
            Self::Empty => FailureClass::PatchEmpty,
            Self::NotADiff | Self::Unreadable { .. } => FailureClass::PatchUnreadable,
            Self::Binary { .. } => FailureClass::PatchBinary,
            Self::OutsideTree { .. } => FailureClass::PatchPathOutsideTree,
            Self::SymbolicLink { .. } => FailureClass::PatchSymlink,
            Self::NoCode(_) => FailureClass::PatchNoCode,
            Self::Refused(refusals) => {
                refusals.first().map_or(FailureClass::PatchNoCode, |refusal| refusal.class)
            }
        }
    }

    /// The failure to report: class, message, hint, and every file concerned in the details. It
    /// names no step: the caller may meet it before any step; see [`Failure::in_step`] with
    /// [`StepName::Check`].
    pub fn failure(&self) -> Failure {
        let failure = Failure::new(self.class(), self.to_string(), self.hint());
        match self {
            Self::NoCode(dropped) => failure.with_details(dropped.iter().map(ToString::to_string)),
            Self::Refused(refusals) => {
                failure.with_details(refusals.iter().map(ToString::to_string))
            }
            _ => failure,
        }
    }

    /// [`PatchError::failure`] as the outcome of the step [`StepName::Check`].
    pub fn check_failure(&self) -> Failure {
        self.failure().in_step(StepName::Check)
    }

    /// What the author of the patch can do.
    fn hint(&self) -> &str {
        match self {
            Self::TooLarge { .. } | Self::TooManyLines { .. } => {
                "send the change that fixes one problem, not a whole point release"
            }
            Self::Empty => "make the patch with git diff or diff -u, and look at the file you send",
            Self::NotADiff => {
                "send the output of git format-patch, git diff or diff -u, uncompressed"
            }
            Self::Unreadable { problem, .. } if problem == CARRIAGE_RETURN => {
                "convert it back: dos2unix FILE; mail programs and Windows editors change line endings"
            }
            Self::Unreadable { .. } => {
                "make the patch again with git format-patch or diff -u; do not edit or paste it"
            }
            Self::Binary { .. } => "leave binary files out of the patch",
            Self::OutsideTree { .. } => {
                "make the patch in the root of the source tree, so that paths are a/DIR/FILE"
            }
            Self::SymbolicLink { .. } => "leave symbolic links out of the patch",
            Self::NoCode(_) => {
                "send a patch to .c files that the target's config builds into the kernel"
            }
            Self::Refused(refusals) => {
                refusals.first().map_or("send a patch to .c files", |refusal| refusal.hint)
            }
        }
    }
}

fn first_dropped(dropped: &[DroppedFile]) -> String {
    match dropped {
        [] => "nothing in it changes a text".to_owned(),
        [file] => file.to_string(),
        [file, rest @ ..] => format!("{file} (and {} more)", rest.len()),
    }
}

fn first_refused(refusals: &[Refusal]) -> String {
    match refusals {
        [] => "the patch cannot be live-patched".to_owned(),
        [refusal] => refusal.to_string(),
        [refusal, rest @ ..] => format!("{refusal} (and {} more)", rest.len()),
    }
}
