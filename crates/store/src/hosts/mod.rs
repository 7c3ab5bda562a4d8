//! Hosts: what is known of them, what they are to run, and what they may not.

mod assigned;
mod assignments;
mod events;
mod exposure;
mod holds;
mod list;
mod register;
mod report;
mod whom;
mod withdrawals;

use std::str::FromStr;

use elivepatch_model::{Architecture, ElfBuildId, HostName, KernelRelease, Sha256Digest, Tag};
use jiff::Timestamp;

pub use assignments::{AssignmentRecord, NewAssignment};
pub use events::{HOST_EVENTS, HostEventRecord};
pub use holds::HoldRecord;
pub use list::{HostFilter, HostKernel};
pub use register::NewHost;
pub(crate) use register::{insert_host, replace_tags, revoke_credentials, tags_of};
pub use report::{OrderGrounds, ReportedHost};
pub use withdrawals::WithdrawalRecord;

use crate::{
    StoreError,
    row::{from_json, parse_digest},
    time::from_column,
};

/// A host as it is stored, without its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRecord {
    /// Its name.
    pub name: HostName,
    /// Its tags, sorted.
    pub tags: Vec<Tag>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When it reported last.
    pub last_seen: Option<Timestamp>,
    /// The release of the kernel that it told last.
    pub release: KernelRelease,
    /// Its architecture.
    pub architecture: Architecture,
    /// The build-id of that kernel.
    pub build_id: Option<ElfBuildId>,
    /// The digest of what is known of that kernel and of what is loaded into it.
    pub kernel: Sha256Digest,
    /// How it stands, in the server's word for it.
    pub state: Option<String>,
    /// For how long it ran when it reported, in seconds.
    pub uptime_seconds: Option<u64>,
    /// The digest of the module of the livepatch that is meant to be loaded on it.
    pub livepatch: Option<Sha256Digest>,
}

/// The columns of a [`HostRecord`]; its tags are one column.
macro_rules! host_columns {
    () => {
        "name, registered_at, last_seen, release, architecture, build_id, kernel, state, \
         uptime_seconds, livepatch, \
         (SELECT json_group_array(tag) FROM host_tags WHERE host = hosts.name) AS tags"
    };
}
use host_columns;

#[derive(Debug, sqlx::FromRow)]
struct HostRow {
    name: String,
    registered_at: i64,
    last_seen: Option<i64>,
    release: String,
    architecture: String,
    build_id: Option<String>,
    kernel: String,
    state: Option<String>,
    uptime_seconds: Option<i64>,
    livepatch: Option<String>,
    tags: String,
}

impl TryFrom<HostRow> for HostRecord {
    type Error = StoreError;

    fn try_from(row: HostRow) -> Result<Self, StoreError> {
        let part = |what: &str| format!("the {what} of the host {}", row.name);
        let mut tags: Vec<Tag> = from_json(&row.tags, &part("tags"))?;
        tags.sort();
        Ok(Self {
            name: parse(&row.name, &part("name"))?,
            tags,
            registered_at: from_column(row.registered_at)?,
            last_seen: row.last_seen.map(from_column).transpose()?,
            release: parse(&row.release, &part("release"))?,
            architecture: parse(&row.architecture, &part("architecture"))?,
            build_id: row.build_id.as_deref().map(|id| parse(id, &part("build-id"))).transpose()?,
            kernel: parse_digest(&row.kernel, &part("kernel"))?,
            uptime_seconds: row.uptime_seconds.map(i64::cast_unsigned),
            livepatch: row
                .livepatch
                .as_deref()
                .map(|digest| parse_digest(digest, &part("livepatch")))
                .transpose()?,
            state: row.state,
        })
    }
}

/// Reads a text of the database.
fn parse<T>(text: &str, what: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error: T::Err| StoreError::corrupt(what, error))
}
