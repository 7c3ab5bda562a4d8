use elivepatch_model::{HostName, KernelRelease, Sha256Digest, Tag, TargetFacts};
use jiff::Timestamp;

use super::{HostRecord, HostRow, host_columns};
use crate::{
    Store, StoreError,
    row::{from_json, parse_digest},
};

/// Which hosts to list.
#[derive(Debug, Clone, Default)]
pub struct HostFilter {
    /// Only hosts with this tag.
    pub tag: Option<Tag>,
    /// Only hosts that stand so, in the server's word for it.
    pub state: Option<String>,
    /// Only hosts whose kernel has this release.
    pub release: Option<KernelRelease>,
    /// Only hosts that have not reported since, those among them that never did and were registered before.
    pub silent_since: Option<Timestamp>,
    /// Only hosts whose names come after this one.
    pub after: Option<HostName>,
}

/// A kernel of hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKernel {
    /// The digest of the facts.
    pub digest: Sha256Digest,
    /// What is known of it, and of what is loaded into it ([`TargetFacts::as_assessed`]).
    pub facts: TargetFacts,
    /// How many hosts have it.
    pub hosts: u64,
}

impl Store {
    /// The host with this name.
    ///
    /// # Errors
    /// [`StoreError::NoSuchHost`], or a failure of the database.
    pub async fn host(&self, name: &HostName) -> Result<HostRecord, StoreError> {
        let statement = concat!("SELECT ", host_columns!(), " FROM hosts WHERE name = ?");
        let row: Option<HostRow> =
            sqlx::query_as(statement).bind(name.as_str()).fetch_optional(&self.readers).await?;
        row.ok_or_else(|| StoreError::NoSuchHost(name.clone()))?.try_into()
    }

    /// At most `limit` hosts, by their names.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn hosts(
        &self,
        filter: &HostFilter,
        limit: u32,
    ) -> Result<Vec<HostRecord>, StoreError> {
        let statement = concat!(
            "SELECT ",
            host_columns!(),
            " FROM hosts
              WHERE (?1 IS NULL OR name > ?1) AND (?2 IS NULL OR release = ?2)
                AND (?3 IS NULL OR state = ?3)
                AND (?4 IS NULL OR coalesce(last_seen, registered_at) < ?4)
                AND (?5 IS NULL OR name IN (SELECT host FROM host_tags WHERE tag = ?5))
              ORDER BY name LIMIT ?6"
        );
        let rows: Vec<HostRow> = sqlx::query_as(statement)
            .bind(filter.after.as_ref().map(HostName::as_str))
            .bind(filter.release.as_ref().map(KernelRelease::as_str))
            .bind(&filter.state)
            .bind(filter.silent_since.map(Timestamp::as_microsecond))
            .bind(filter.tag.as_ref().map(Tag::as_str))
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.into_iter().map(HostRecord::try_from).collect()
    }

    /// The kernels of all hosts, those of most hosts first.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn host_kernels(&self) -> Result<Vec<HostKernel>, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT digest, facts, (SELECT count(*) FROM hosts WHERE kernel = digest) AS hosts
               FROM host_kernels ORDER BY hosts DESC, digest",
        )
        .fetch_all(&self.readers)
        .await?;
        let kernel = |(digest, facts, hosts): (String, String, i64)| {
            let what = format!("the kernel {digest} of hosts");
            Ok(HostKernel {
                digest: parse_digest(&digest, &what)?,
                facts: from_json(&facts, &what)?,
                hosts: hosts.cast_unsigned(),
            })
        };
        rows.into_iter().map(kernel).collect()
    }

    /// A kernel by the digest of what is known of it.
    ///
    /// # Errors
    /// When the database fails or is damaged, or no host has it.
    pub async fn host_kernel(&self, digest: Sha256Digest) -> Result<HostKernel, StoreError> {
        let (facts, hosts): (String, i64) = sqlx::query_as(
            "SELECT facts, (SELECT count(*) FROM hosts WHERE kernel = digest)
               FROM host_kernels WHERE digest = ?",
        )
        .bind(digest.to_string())
        .fetch_one(&self.readers)
        .await?;
        let facts = from_json(&facts, &format!("the kernel {digest} of hosts"))?;
        Ok(HostKernel { digest, facts, hosts: hosts.cast_unsigned() })
    }

    /// At most `limit` names of hosts behind `after`, each with the digest of its kernel.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn kernels_by_host(
        &self,
        after: Option<&HostName>,
        limit: u32,
    ) -> Result<Vec<(HostName, Sha256Digest)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, kernel FROM hosts WHERE (?1 IS NULL OR name > ?1) ORDER BY name LIMIT ?2",
        )
        .bind(after.map(HostName::as_str))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let pair = |(name, kernel): (String, String)| {
            let what = format!("the host {name}");
            Ok((super::parse(&name, &what)?, parse_digest(&kernel, &what)?))
        };
        rows.into_iter().map(pair).collect()
    }
}
