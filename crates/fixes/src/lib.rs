//! Where the text of a fix comes from: clones, directories, web servers and livepatch-overlays, each of which
//! may be absent, slow, broken or hostile. What a source gives is the patch of the commit that was asked for,
//! or an error; whether it can be a livepatch, and keeping it, is the caller's.

mod commit;
mod directory;
mod error;
mod git;
mod overlay;
mod regular_file;
mod source;
mod text;
mod web;

pub use commit::{CommitHash, CommitHashError};
pub use error::FixSourceError;
pub use overlay::{OverlayFault, OverlayFix};
pub use source::{FixSource, FixSourceOptions};
pub use text::check as check_text;
pub use web::{WebTimes, template_problem};
