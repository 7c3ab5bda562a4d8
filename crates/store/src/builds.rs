use elivepatch_model::{BuildNumber, BuildState, ElfBuildId, KernelRelease, Sha256Digest};

use crate::{
    BuildRecord, BuildSummaryRecord, Store, StoreError,
    row::{BuildRow, build_columns},
    summary::SummaryRow,
};

/// Which builds to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildFilter {
    /// Only builds in this state.
    pub state: Option<BuildState>,
    /// Only builds with a lower number.
    pub before: Option<BuildNumber>,
}

/// How many builds are not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLength {
    /// Builds that wait.
    pub queued: u64,
    /// Builds that a worker has leased.
    pub running: u64,
}

impl Store {
    /// The build with this number.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBuild`], or a failure of the database.
    pub async fn build(&self, number: BuildNumber) -> Result<BuildRecord, StoreError> {
        let statement =
            concat!("SELECT ", build_columns!(), ", manifest FROM builds WHERE number = ?");
        let row: Option<BuildRow> =
            sqlx::query_as(statement).bind(number.0).fetch_optional(&self.readers).await?;
        row.ok_or(StoreError::NoSuchBuild(number))?.try_into()
    }

    /// Where a build stands.
    ///
    /// # Errors
    /// As [`Store::build`].
    pub async fn build_state(&self, number: BuildNumber) -> Result<BuildState, StoreError> {
        let state: Option<String> = sqlx::query_scalar("SELECT state FROM builds WHERE number = ?")
            .bind(number.0)
            .fetch_optional(&self.readers)
            .await?;
        let state = state.ok_or(StoreError::NoSuchBuild(number))?.parse();
        state.map_err(|error: String| {
            StoreError::corrupt(format!("the state of build {number}"), error)
        })
    }

    /// Whether a build has a livepatch whose module is on the disk.
    ///
    /// # Errors
    /// As [`Store::build`].
    pub async fn has_livepatch(&self, number: BuildNumber) -> Result<bool, StoreError> {
        let build = self.build(number).await?;
        Ok(match build.manifest {
            Some(manifest) => {
                self.blobs.has(manifest.module.digest, manifest.module.size_bytes).await
            }
            None => false,
        })
    }

    /// Whether a module was made here for a kernel of this release, and can still be had.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_module(
        &self,
        module: Sha256Digest,
        release: &KernelRelease,
    ) -> Result<bool, StoreError> {
        let size: Option<i64> = sqlx::query_scalar(
            "SELECT size_bytes FROM blobs WHERE digest = ?1 AND EXISTS
             (SELECT 1 FROM builds WHERE module = ?1 AND release = ?2 AND state = 'succeeded')",
        )
        .bind(module.to_string())
        .bind(release.as_str())
        .fetch_optional(&self.readers)
        .await?;
        Ok(match size {
            Some(size) => self.blobs.has(module, size.cast_unsigned()).await,
            None => false,
        })
    }

    /// The newest build whose module has a build-id, and can still be had; `None` when there is none.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn build_of_module(
        &self,
        module: &ElfBuildId,
    ) -> Result<Option<BuildNumber>, StoreError> {
        let numbers: Vec<i64> = sqlx::query_scalar(
            "SELECT number FROM builds
              WHERE state = 'succeeded' AND manifest ->> '$.module.build_id' = ?
              ORDER BY number DESC",
        )
        .bind(module.as_str())
        .fetch_all(&self.readers)
        .await?;
        for number in numbers.into_iter().map(BuildNumber) {
            if self.has_livepatch(number).await? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// At most `limit` builds, newest first, in short. The probes of CVE runs are not among them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn builds(
        &self,
        filter: BuildFilter,
        limit: u32,
    ) -> Result<Vec<BuildSummaryRecord>, StoreError> {
        let rows: Vec<SummaryRow> = sqlx::query_as(
            "SELECT number, build_key, state, release, attempts, submitted_at, started_at, finished_at,
                    (SELECT json_group_array(value ->> '$.name') FROM json_each(fixes)) AS fixes,
                    failure ->> '$.class' AS failure_class,
                    failure ->> '$.message' AS failure_message
             FROM builds
             WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR number < ?2) AND probe_of IS NULL
             ORDER BY number DESC LIMIT ?3",
        )
        .bind(filter.state.map(BuildState::as_str))
        .bind(filter.before.map(|number| number.0))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(BuildSummaryRecord::try_from).collect()
    }

    /// How many builds wait and run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue_length(&self) -> Result<QueueLength, StoreError> {
        let (queued, running): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM builds WHERE state = 'queued'),
                    (SELECT count(*) FROM builds WHERE state = 'running')",
        )
        .fetch_one(&self.readers)
        .await?;
        Ok(QueueLength { queued: queued.cast_unsigned(), running: running.cast_unsigned() })
    }
}
