//! CVE runs: from the CVEs that matter on a kernel to one livepatch of their fixes.

use std::collections::BTreeMap;

use elivepatch_cve::{CveId, CveResult, Cvss};
use elivepatch_model::{
    BehaviourCheck, BuildNumber, BuildOptions, Failure, Fix, KernelRelease, RunNumber, RunState,
    Sha256Digest, TargetFacts,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What the name of a patch of a CVE run has in the place of a commit: a person approved it, or an overlay has it.
pub const CHOSEN_FIXES: [&str; 2] = ["approved", "overlay"];

/// The JSON part `request` of a CVE run: the fixes of which CVEs are wanted as one livepatch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The kernel to be patched.
    #[schema(value_type = Object)]
    pub target: TargetFacts,
    /// Its version of Linux, such as `6.1.176`, where the release does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux_version: Option<String>,
    /// Which CVEs are wanted.
    #[serde(default)]
    pub selection: CveSelection,
    /// What the trial of each livepatch must see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<RunCheck>,
    /// How the livepatch is to be made.
    #[serde(default, skip_serializing_if = "BuildOptions::is_default")]
    pub options: BuildOptions,
    /// Try again what failed for other reasons than the fix itself, although nothing is new.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// A behaviour check of a CVE run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCheck {
    /// The CVE whose fix it is about: it is made of livepatches that have this fix, and of no other. Absent:
    /// of all, whichever fixes they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cve: Option<CveId>,
    /// A shell command; the guest has busybox's tools and nothing else.
    pub command: String,
    /// A text that its standard output must contain while the kernel is as shipped.
    pub before: String,
    /// A text that its standard output must contain while the livepatch is active.
    pub after: String,
}

impl RunCheck {
    /// The check as a build has it.
    pub fn check(&self) -> BehaviourCheck {
        BehaviourCheck {
            command: self.command.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
        }
    }
}

/// Which CVEs are wanted of those that matter.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CveSelection {
    /// Only these; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub only: Vec<CveId>,
    /// Not these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub exclude: Vec<CveId>,
    /// Only those with at least this CVSS score, and those without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<f32>,
}

/// The multipart form of a CVE run, as OpenAPI documents it. The parts come in this order.
#[derive(Debug, ToSchema)]
pub struct RunParts {
    /// [`RunRequest`] as JSON.
    pub request: RunRequest,
    /// The target's kernel config, uncompressed; of a stock kernel it may be left out: its package has it.
    #[schema(value_type = Option<String>, format = Binary)]
    pub config: Option<Vec<u8>>,
    /// What `/proc/kallsyms` of the target says, compressed with gzip; may be left out.
    #[schema(value_type = Option<String>, format = Binary)]
    pub kallsyms: Option<Vec<u8>>,
    /// A unified diff that is compiled into the running kernel; may be left out, and repeated.
    #[schema(value_type = Vec<String>, format = Binary)]
    pub baseline: Vec<Vec<u8>>,
    /// A fix that the livepatch holds whatever becomes of the CVEs, such as one that is live and was ordered by hand;
    /// may be left out, and repeated. Each fix of a CVE is tried on top of them.
    #[schema(value_type = Vec<String>, format = Binary)]
    pub patch: Vec<Vec<u8>>,
}

/// The answer to a request for a run: 201 for a new one, 200 for an equal one that was joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunSubmission {
    /// The run.
    pub run: RunResource,
    /// Whether an equal run was there already, under way or finished: nothing new is done for it.
    pub joined: bool,
}

/// What a run's answers rest on: the kernel's version, the feed and its age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunGrounds {
    /// The kernel's version of Linux.
    pub linux_version: String,
    /// Where that is known from, for people.
    pub version_origin: String,
    /// Whether the kernel may have fewer flaws than this says.
    pub is_upper_bound: bool,
    /// The base by which it is known what the kernel is built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Why no base was used although there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_doubt: Option<String>,
    /// How old the feed's data was.
    #[schema(value_type = String, format = DateTime)]
    pub feed_data_at: Timestamp,
    /// When the feed had been read.
    #[schema(value_type = String, format = DateTime)]
    pub feed_read_at: Timestamp,
    /// Whether the feed was stale.
    pub feed_is_stale: bool,
    /// How many records of the feed could not be used.
    pub faulty: u64,
}

/// A CVE run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunResource {
    /// Its number on this server.
    #[schema(value_type = i64)]
    pub number: RunNumber,
    /// Where it stands.
    pub state: RunState,
    /// The kernel.
    #[schema(value_type = Object)]
    pub target: TargetFacts,
    /// Which CVEs were wanted.
    pub selection: CveSelection,
    /// The fixes that the livepatch holds beside those of CVEs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Fix>,
    /// What the answers rest on.
    pub grounds: RunGrounds,
    /// What it does now, in one line for people; absent when it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// How many fixes are to be tried alone.
    pub to_try: u32,
    /// How many of them were.
    pub tried: u32,
    /// How many CVEs there are with each verdict, by its name; those that do not matter are counted, too.
    pub counts: BTreeMap<String, u64>,
    /// The CVEs that may matter with what became of them, the worst first. Left out of lists, and when asked
    /// for with `cves=false`.
    pub cves: Vec<RunCve>,
    /// The build that made the livepatch; absent while there is none, and when nothing can be fixed live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pub livepatch: Option<BuildNumber>,
    /// Why it ended without an answer for each CVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub failure: Option<Failure>,
    /// A digest of all that a reader would call news: verdicts and livepatch. Equal digests: nothing changed.
    #[schema(value_type = String)]
    pub outcome_digest: Sha256Digest,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub submitted_at: Timestamp,
    /// When it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// How a run is shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RunQuery {
    /// Whether with its CVEs; absent: with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cves: Option<bool>,
}

/// A CVE with what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunCve {
    /// What became of it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub result: CveResult,
    /// What it is about, in one line.
    pub title: String,
    /// How bad it is, when somebody has judged that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub cvss: Option<Cvss>,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// Its number on this server.
    #[schema(value_type = i64)]
    pub number: RunNumber,
    /// Where it stands.
    pub state: RunState,
    /// The release of the kernel to be patched.
    #[schema(value_type = String)]
    pub release: KernelRelease,
    /// The build that made the livepatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pub livepatch: Option<BuildNumber>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub submitted_at: Timestamp,
    /// When it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}
