use std::collections::BTreeMap;

use elivepatch_cve::{Applicability, CveId, Cvss};
use elivepatch_model::TargetFacts;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks which CVEs matter on a kernel. Nothing is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssessmentRequest {
    /// The kernel.
    #[schema(value_type = Object)]
    pub target: TargetFacts,
    /// Its version of Linux, such as `6.1.176`, where the release does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux_version: Option<String>,
    /// CVEs that are to be in the answer whatever they are to the kernel. Others are only when they may
    /// matter: not those that are rejected, not in the version, or fixed in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub explain: Vec<CveId>,
}

/// Which CVEs matter on a kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AssessmentResource {
    /// The kernel's version of Linux.
    pub linux_version: String,
    /// Where that is known from, for people.
    pub version_origin: String,
    /// Whether the kernel may have fewer flaws than this says: its distribution carries fixes that the
    /// version does not tell.
    pub is_upper_bound: bool,
    /// The base by which it is known what the kernel is built from; absent: no base of it is ready, and all
    /// code counts as built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Why no base was used although there are some; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_doubt: Option<String>,
    /// How old the feed's data is.
    #[schema(value_type = String, format = DateTime)]
    pub feed_data_at: Timestamp,
    /// When the feed was read.
    #[schema(value_type = String, format = DateTime)]
    pub feed_read_at: Timestamp,
    /// Whether the feed's data is too old, or it was not read for too long.
    pub feed_is_stale: bool,
    /// How many records of the feed cannot be used: what they say is not in this, or as it was before.
    pub faulty: u64,
    /// Of the CVEs that were asked for those whose records cannot be used. One that could be used before is
    /// among the others, too, as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultyCve>,
    /// How many CVEs there are with each verdict, by its name; rejected ones and those that are fixed or not
    /// in the version count, too.
    pub counts: BTreeMap<String, u64>,
    /// The CVEs: those that may matter, the worst first, and those that were asked for.
    pub cves: Vec<AssessedCve>,
}

/// A CVE whose record in the feed cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FaultyCve {
    /// Its name.
    #[schema(value_type = String)]
    pub id: CveId,
    /// What is wrong with the record, in one line.
    pub reason: String,
}

/// A CVE and what it is to a kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AssessedCve {
    /// Its name.
    #[schema(value_type = String)]
    pub id: CveId,
    /// What it is about, in one line.
    pub title: String,
    /// What it is about, in full; only of one that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How bad it is, when somebody has judged that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub cvss: Option<Cvss>,
    /// The files that its fix changes in mainline.
    pub program_files: Vec<String>,
    /// What it is to the kernel.
    #[schema(value_type = Object)]
    pub applicability: Applicability,
}
