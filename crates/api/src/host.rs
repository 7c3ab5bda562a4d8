//! What a host tells its server, and what it is told.

use std::{fmt, str::FromStr};

use elivepatch_model::{BuildNumber, HostName, Sha256Digest, Tag, TargetFacts};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Registers a host, with a one-time token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    /// The name that it is to have.
    #[schema(value_type = String)]
    pub name: HostName,
    /// Its kernel.
    #[schema(value_type = Object)]
    pub target: TargetFacts,
}

/// A host is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentAnswer {
    /// Its name.
    #[schema(value_type = String)]
    pub name: HostName,
    /// Its tags, from the one-time token.
    #[schema(value_type = Vec<String>)]
    pub tags: Vec<Tag>,
    /// The token with which it asks from now on; the server keeps only a digest of it.
    pub token: String,
    /// The key that the manifests of livepatches are signed with, as minisign writes public keys (`RW…`);
    /// absent: this server signs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_key: Option<String>,
}

/// How a host stands. A newer agent may say more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostReport {
    /// The version of elivepatch on it.
    pub agent_version: String,
    /// The kernel that runs.
    #[schema(value_type = Object)]
    pub target: TargetFacts,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// For how long it runs, in seconds.
    pub uptime_seconds: u64,
    /// In one word.
    pub state: HostState,
    /// The livepatch of elivepatch that is meant to be loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub livepatch: Option<HostLivepatch>,
    /// What is wrong; empty: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<HostFault>,
    /// The livepatches that this host does not load any more because of what happened under them, by the
    /// digests of their modules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub locked_out: Vec<Sha256Digest>,
}

/// How a host stands, in one word.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// A livepatch is active, and all is well.
    Patched,
    /// None is, and none should be.
    NotPatched,
    /// It was told to load one, and waits for its maintenance window.
    Pending,
    /// Something is wrong: see the faults.
    Trouble,
}

impl HostState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Patched, Self::NotPatched, Self::Pending, Self::Trouble];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::NotPatched => "not-patched",
            Self::Pending => "pending",
            Self::Trouble => "trouble",
        }
    }
}

/// A word that is no state of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no state of a host: patched, not-patched, pending or trouble")]
pub struct HostStateError(String);

impl FromStr for HostState {
    type Err = HostStateError;

    fn from_str(text: &str) -> Result<Self, HostStateError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| HostStateError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for HostState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a host has loaded, or should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostLivepatch {
    /// The module's name.
    pub name: String,
    /// The digest of its file.
    #[schema(value_type = String)]
    pub digest: Sha256Digest,
    /// Whether the kernel has it active.
    pub active: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// How the machine is with it.
    pub health: HostHealth,
}

/// How a machine is with its livepatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostHealth {
    /// Well so far, within the quarter of an hour for which it is looked after.
    Watched,
    /// The machine has lived with it for longer.
    Proven,
    /// Not well.
    Bad,
}

/// Something that is wrong on a host, or has kept it from doing what it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostFault {
    /// What; one line.
    pub what: String,
    /// What can be done; one line.
    pub hint: String,
}

/// The answer to a report: what the host is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostOrder {
    /// What is wanted of it.
    pub order: Order,
    /// After how many seconds it is to report again, at the latest.
    pub report_after_seconds: u64,
}

/// What is wanted of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Order {
    /// Stay as it is: nothing is assigned to its kernel.
    Stay,
    /// Stay as it is: somebody holds it.
    Hold {
        /// Why; may be empty.
        reason: String,
    },
    /// Run this livepatch.
    Load(Assigned),
    /// Run none: what it runs was withdrawn, and nothing takes its place.
    Unload {
        /// Why; may be empty.
        reason: String,
    },
}

/// A livepatch that is assigned to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Assigned {
    /// The build that made it.
    #[schema(value_type = i64)]
    pub build: BuildNumber,
    /// The digest of its module.
    #[schema(value_type = String)]
    pub digest: Sha256Digest,
    /// Whether it is not to wait for the maintenance window: what the host runs was withdrawn.
    #[serde(default)]
    pub at_once: bool,
}
