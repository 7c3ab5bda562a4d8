//! Source patches: unified diffs as authors make them, the refusals that need no build, and what
//! GNU patch says when it applies them.
//!
//! A patch is untrusted. [`SourcePatch::parse`] is the only reader of the text that a user sent;
//! everything later works on validated [`TreePath`]s and on the canonical form that
//! [`FilePatch::to_unified`] writes. Patches are applied by GNU `patch`, never by this crate: the
//! builder runs it for one file at a time with an explicit target, and [`ApplyReport`] reads what
//! it prints. Nothing here does I/O.

mod apply_report;
mod canonical;
mod error;
mod file_patch;
mod init_code;
mod line_map;
mod links;
mod makefile;
mod parse;
pub mod patchability;
mod place;
mod plan;
mod tree_path;

pub use apply_report::{ApplyReport, HunkOutcome};
pub use error::PatchError;
pub use file_patch::{ChangeKind, FilePatch, Hunk, HunkLine, LineKind, LineRange, SourcePatch};
pub use init_code::{InitChange, init_changes, init_lines};
pub use links::{
    TouchedItem, holds_code, is_used_alike, items_with_lines, linking_literals, linking_names,
    names_that_make_memory,
};
pub use makefile::NewObject;
pub use place::cannot_be_compared;
pub use plan::{DroppedFile, FilePart, PatchPlan, Refusal};
pub use tree_path::{PATH_BYTES, TreePath, TreePathError};
