//! What became of a CVE on a kernel when its fix was to be had as a livepatch.

use elivepatch_model::{BuildNumber, Failure, PatchedFunction, Sha256Digest};
use serde::{Deserialize, Serialize};

use crate::{Applicability, CveId, LinuxVersion};

/// What became of a CVE that may matter on a kernel, beyond its [`Applicability`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Outcome {
    /// Its fix is still to be fetched, tried, or put together with others.
    Waiting,
    /// Its fix is in the livepatch.
    Livepatch {
        /// The functions that its fix replaces by itself. Empty where it was only built together with others.
        functions: Vec<PatchedFunction>,
    },
    /// The kernel's source has the fix already, although its version does not say so.
    AlreadyInSource,
    /// The fix does not apply to the kernel's source, neither alone nor after the others.
    DoesNotApply {
        /// Which hunk.
        failure: Failure,
    },
    /// No livepatch can be made of the fix.
    NotPatchable {
        /// Why: its class and what the tools say.
        failure: Failure,
    },
    /// The fix cannot be built.
    BuildFailed {
        /// Why: its class and what the tools say.
        failure: Failure,
    },
    /// The fix could not be tried, for a reason of the machine that was to try it.
    CouldNotTry {
        /// What went wrong.
        failure: Failure,
    },
    /// The fix changes no code that this kernel has.
    NotBuilt {
        /// What the builder found.
        failure: Failure,
    },
    /// The fix can be a livepatch by itself, but not together with those before it.
    Conflicts {
        /// What went wrong when it was added.
        failure: Failure,
    },
    /// There is a fix in the kernel's branch, and no source of fixes has its text.
    FixUnavailable {
        /// What each source said, in one line.
        reason: String,
        /// Whether asking again may help without any change here: a source could not be reached.
        #[serde(default)]
        is_transient: bool,
    },
    /// Mainline has a fix and the kernel's branch has none: a person has to decide.
    NeedsApproval,
    /// There is no fix yet.
    NoFix,
    /// The server's policy leaves it out.
    Denied {
        /// The rule, for people.
        rule: String,
    },
    /// The request leaves it out.
    LeftOut,
    /// The run ended before it was tried.
    NotTried,
}

impl Outcome {
    /// The verdict in one word.
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Livepatch { .. } => "livepatch",
            Self::AlreadyInSource => "already-fixed",
            Self::DoesNotApply { .. } => "does-not-apply",
            Self::NotPatchable { .. } => "not-patchable",
            Self::BuildFailed { .. } => "build-failed",
            Self::CouldNotTry { .. } => "could-not-try",
            Self::NotBuilt { .. } => "not-built",
            Self::Conflicts { .. } => "conflicts",
            Self::FixUnavailable { .. } => "fix-unavailable",
            Self::NeedsApproval => "needs-approval",
            Self::NoFix => "no-fix",
            Self::Denied { .. } => "denied",
            Self::LeftOut => "left-out",
            Self::NotTried => "not-tried",
        }
    }

    /// What stands against the fix, where something does.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::DoesNotApply { failure }
            | Self::NotPatchable { failure }
            | Self::BuildFailed { failure }
            | Self::CouldNotTry { failure }
            | Self::NotBuilt { failure }
            | Self::Conflicts { failure } => Some(failure),
            _ => None,
        }
    }
}

/// The text of a fix with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixRecord {
    /// The commit; of a patch that an administrator approved, `approved`.
    pub commit: String,
    /// The version of the kernel's branch that has it first; absent for an approved patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<LinuxVersion>,
    /// The digest of the patch.
    pub digest: Sha256Digest,
    /// Where the patch was had from, for people.
    pub source: String,
}

/// What became of a CVE, with the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CveResult {
    /// The CVE.
    pub id: CveId,
    /// What it is to the kernel by feed and base.
    pub applicability: Applicability,
    /// What became of its fix; absent where there was nothing to be done: see the applicability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The patches of its fix, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<FixRecord>,
    /// The build in which its fix was tried alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<BuildNumber>,
    /// How long that took, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_seconds: Option<u32>,
}

/// What a CVE means for who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Its fix is in the livepatch, or in one that is active on the machine.
    FixedLive,
    /// The kernel has it, and only a newer kernel is without.
    NeedsReboot,
    /// A person has to decide about its fix.
    WaitsForPerson,
    /// Nobody has a fix yet.
    NoFixYet,
    /// It could not be tried, or is still being tried.
    Open,
    /// The server's policy or the request leaves it out.
    LeftOut,
    /// Its code is not in the kernel.
    NotInKernel,
    /// The kernel has the fix, the flaw did not come into it, or it is no CVE.
    NotAffected,
}

impl CveResult {
    /// The verdict in one word: that of the outcome, or else of the applicability.
    pub fn verdict(&self) -> &'static str {
        self.outcome.as_ref().map_or_else(|| self.applicability.verdict(), Outcome::verdict)
    }

    /// What it means for who has to act.
    pub fn group(&self) -> Group {
        match &self.outcome {
            Some(Outcome::Livepatch { .. }) => Group::FixedLive,
            Some(
                Outcome::DoesNotApply { .. }
                | Outcome::NotPatchable { .. }
                | Outcome::BuildFailed { .. }
                | Outcome::Conflicts { .. },
            ) => Group::NeedsReboot,
            Some(Outcome::NeedsApproval) => Group::WaitsForPerson,
            Some(Outcome::NoFix) => Group::NoFixYet,
            Some(
                Outcome::Waiting
                | Outcome::FixUnavailable { .. }
                | Outcome::CouldNotTry { .. }
                | Outcome::NotTried,
            ) => Group::Open,
            Some(Outcome::Denied { .. } | Outcome::LeftOut) => Group::LeftOut,
            Some(Outcome::NotBuilt { .. }) => Group::NotInKernel,
            Some(Outcome::AlreadyInSource) => Group::NotAffected,
            None => match &self.applicability {
                Applicability::Rejected
                | Applicability::NotAffected
                | Applicability::AlreadyFixed { .. } => Group::NotAffected,
                Applicability::AlreadyLive { .. } => Group::FixedLive,
                Applicability::NotBuilt { .. } => Group::NotInKernel,
                Applicability::NotLoaded { .. } | Applicability::Candidate { .. } => Group::Open,
            },
        }
    }

    /// The version of the kernel's branch, or of mainline, whose kernel has the fix.
    pub fn fixed_in(&self) -> Option<LinuxVersion> {
        self.applicability.fixed_in()
    }
}
