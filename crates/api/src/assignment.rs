//! What hosts are to run, and what they must not.

use elivepatch_model::{Architecture, BuildNumber, ElfBuildId, KernelRelease, Sha256Digest, Whom};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A livepatch that is to be assigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignmentRequest {
    /// The build that made it.
    #[schema(value_type = i64)]
    pub build: BuildNumber,
    /// To whom: `{"host": NAME}`, `{"tag": TAG}` or `"all"`.
    #[schema(value_type = Object)]
    pub whom: Whom,
    /// What there is to say of it: one line; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A livepatch that hosts with its kernel are to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Assignment {
    /// Its id. Of several that fit a host, one to the host goes before one to a tag of it, and that before one
    /// to all; of equals the largest id counts.
    pub id: i64,
    /// The build that made the livepatch.
    #[schema(value_type = i64)]
    pub build: BuildNumber,
    /// To whom.
    #[schema(value_type = Object)]
    pub whom: Whom,
    /// The architecture of the kernel that it is for.
    #[schema(value_type = String)]
    pub architecture: Architecture,
    /// The release of that kernel; other hosts pass over it.
    #[schema(value_type = String)]
    pub release: KernelRelease,
    /// The build-id of that kernel, when it is known; hosts with another one pass over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub build_id: Option<ElfBuildId>,
    /// The digest of its module.
    #[schema(value_type = String)]
    pub digest: Sha256Digest,
    /// What was said of it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When it was assigned.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Timestamp,
    /// Whether the livepatch was withdrawn: then nobody is told to load it.
    pub is_withdrawn: bool,
}

/// The answer to an assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignmentAnswer {
    /// The assignment.
    pub assignment: Assignment,
    /// How many hosts it reaches now: those that it is to, as far as they run the kernel that it is for.
    pub hosts: u64,
    /// What the person should know; one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A page of a list that is newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct NewestFirstQuery {
    /// Only what is older than the one with this number: the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// How many, 1 to 1000; 200 when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A page of assignments, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignmentList {
    /// The assignments.
    pub assignments: Vec<Assignment>,
    /// What `before` is for the next page; absent: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// A livepatch that is to be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalRequest {
    /// The build that made it.
    #[schema(value_type = i64)]
    pub build: BuildNumber,
    /// Why: one line, which the hosts are told; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A livepatch that no host may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Withdrawal {
    /// The build that made it.
    #[schema(value_type = i64)]
    pub build: BuildNumber,
    /// The digest of its module. A rebuild with the same bytes is withdrawn with it.
    #[schema(value_type = String)]
    pub digest: Sha256Digest,
    /// Why; may be empty.
    pub reason: String,
    /// When it was withdrawn.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Timestamp,
}

/// The answer to a withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WithdrawalAnswer {
    /// The withdrawal.
    pub withdrawal: Withdrawal,
    /// How many hosts have the livepatch by their last reports: they take it back at their next.
    pub hosts: u64,
}

/// A page of withdrawals, those of the newest builds first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WithdrawalList {
    /// The withdrawals.
    pub withdrawals: Vec<Withdrawal>,
    /// What `before` is for the next page; absent: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}
