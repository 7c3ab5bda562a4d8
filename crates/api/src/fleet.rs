//! The hosts of a server, as they are listed and shown.

use elivepatch_model::{
    BuildNumber, ElfBuildId, HostName, KernelRelease, Sha256Digest, Tag, TargetFacts, Whom,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{HostReport, HostState, Order};

/// Which hosts are listed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListHostsQuery {
    /// Only hosts with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub tag: Option<Tag>,
    /// Only hosts that stand so by their last reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub state: Option<HostState>,
    /// Only hosts whose kernel has this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub release: Option<KernelRelease>,
    /// Only hosts that were not heard of for this many times as long as they are told to wait between reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<u32>,
    /// Only hosts whose names come after this one: the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub after: Option<HostName>,
    /// How many, 1 to 1000; 200 when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A page of hosts, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    /// The hosts.
    pub hosts: Vec<HostSummary>,
    /// What `after` is for the next page; absent: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<HostName>,
}

/// A host in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostSummary {
    /// Its name.
    #[schema(value_type = String)]
    pub name: HostName,
    /// Its tags.
    #[schema(value_type = Vec<String>)]
    pub tags: Vec<Tag>,
    /// The release of the kernel that it told last.
    #[schema(value_type = String)]
    pub release: KernelRelease,
    /// The build-id of that kernel, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub build_id: Option<ElfBuildId>,
    /// How it stands by its last report; absent: it has not reported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<HostState>,
    /// Whether it was not heard of for longer than three reports take.
    pub is_silent: bool,
    /// The digest of the module of the livepatch that is meant to be loaded on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub livepatch: Option<Sha256Digest>,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    pub registered_at: Timestamp,
    /// When it reported last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostResource {
    /// What a list says of it.
    #[serde(flatten)]
    pub summary: HostSummary,
    /// The build that made the livepatch that is meant to be loaded on it; absent: none of this server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pub livepatch_build: Option<BuildNumber>,
    /// Its last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<HostReport>,
    /// What it would be told if it made that report now; absent: it has not reported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// What holds it: itself, a tag of it, or all.
    pub holds: Vec<Hold>,
    /// What happened on it, newest first; the last hundred.
    pub events: Vec<HostEvent>,
}

/// The tags of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostTags {
    /// The tags that it has from now on, and no others.
    #[schema(value_type = Vec<String>)]
    pub tags: Vec<Tag>,
}

/// Something that happened on a host, as its reports show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostEvent {
    /// When it was reported.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub change: HostChange,
}

/// What happened on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum HostChange {
    /// It was started anew, with the same kernel.
    Started,
    /// It runs another kernel than before.
    KernelChanged {
        /// The kernel before.
        #[schema(value_type = Object)]
        from: Box<TargetFacts>,
        /// The kernel now.
        #[schema(value_type = Object)]
        to: Box<TargetFacts>,
    },
    /// A livepatch has become active.
    Loaded {
        /// Its name.
        name: String,
        /// The digest of its module.
        #[schema(value_type = String)]
        digest: Sha256Digest,
    },
    /// A livepatch is not active any more.
    TakenBack {
        /// Its name.
        name: String,
        /// The digest of its module.
        #[schema(value_type = String)]
        digest: Sha256Digest,
    },
    /// The host does not load a livepatch any more because of what happened under it.
    LockedOut {
        /// The digest of its module.
        #[schema(value_type = String)]
        digest: Sha256Digest,
    },
    /// Somebody has allowed it again there.
    Unlocked {
        /// The digest of its module.
        #[schema(value_type = String)]
        digest: Sha256Digest,
    },
    /// Something is wrong that was not before.
    Trouble {
        /// What; one line.
        fault: String,
    },
    /// Nothing is wrong any more.
    Well,
}

/// Why hosts are to stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// One line; may be empty.
    #[serde(default)]
    pub reason: String,
}

/// Hosts that stay as they are until they are released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// Which.
    #[schema(value_type = Object)]
    pub whom: Whom,
    /// Why; may be empty.
    pub reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Timestamp,
}

/// What is held: that of all hosts first, then those of tags, then those of single hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldList {
    /// The first 1000.
    pub holds: Vec<Hold>,
    /// Whether there are more.
    pub is_cut: bool,
}
