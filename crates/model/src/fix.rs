use serde::{Deserialize, Serialize};

use crate::Sha256Digest;

/// One source patch with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Fix {
    /// A name for people: the file name the author gave, without its directories. Never a path.
    pub name: String,
    /// The digest of the patch text as it was sent.
    pub digest: Sha256Digest,
}

/// A patch that is compiled into the running kernel: a part of the target's source, and no fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PatchRecord {
    /// A name for people, as [`Fix::name`].
    pub name: String,
    /// The digest of the patch text as it was sent.
    pub digest: Sha256Digest,
}

/// A command that is run in the trial's guest, and what its output must hold.
///
/// The command is run three times: before the livepatch is loaded, after its transition, and after
/// it was disabled and unloaded. The last run must satisfy `before` again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BehaviourCheck {
    /// A shell command; the guest has busybox's tools and nothing else.
    pub command: String,
    /// A text that its standard output must contain while the kernel is as shipped.
    pub before: String,
    /// A text that its standard output must contain while the livepatch is active.
    pub after: String,
}
