use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthResource {
    /// `ok`, or `degraded` when builds cannot go on now.
    pub state: HealthState,
    /// What is wrong, one line each; empty when all is well.
    pub problems: Vec<String>,
    /// Builds that wait.
    pub queued: u64,
    /// Builds that run.
    pub running: u64,
    /// The workers that asked for work lately.
    pub workers: Vec<WorkerHealth>,
}

/// Whether builds can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// All is well.
    Ok,
    /// The server answers, but something keeps builds from going on.
    Degraded,
}

/// A worker, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerHealth {
    /// Its name.
    pub name: String,
    /// When it was last heard of.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
}

/// What the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionResource {
    /// Always `elivepatch`.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// Everything of the builder that decides what it makes of a request: its version, engines and
    /// recipes. A manifest holds the same of the builder that made it.
    #[serde(default)]
    pub builder: String,
    /// The versions of the API that it speaks: `["v2"]`.
    pub api: Vec<String>,
}
