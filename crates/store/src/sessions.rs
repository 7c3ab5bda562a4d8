//! The sessions of clients of the REST API v1.0.

use elivepatch_model::{BuildNumber, KernelRelease, PatchRecord, SessionId, Sha256Digest};
use jiff::Timestamp;

use crate::{Store, StoreError, row::to_json};

/// What sessions take of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLoad {
    /// Sessions that were made since then.
    pub sessions: u64,
    /// Builds of theirs that were queued since then.
    pub builds: u64,
    /// Builds that wait or run now and that a session, however old, has.
    pub unfinished: u64,
}

impl Store {
    /// The build that a session ordered; `None` when the session is not known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn build_of_session(
        &self,
        session: &SessionId,
    ) -> Result<Option<BuildNumber>, StoreError> {
        let build: Option<i64> = sqlx::query_scalar("SELECT build FROM sessions WHERE id = ?")
            .bind(session.as_str())
            .fetch_optional(&self.readers)
            .await?;
        Ok(build.map(BuildNumber))
    }

    /// Keeps what a session ordered. A session that is known keeps its build: then it is `false`.
    ///
    /// # Errors
    /// When there is no such build, the disk is full, or the database fails.
    pub async fn begin_session(
        &self,
        session: &SessionId,
        build: BuildNumber,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let made =
            sqlx::query("INSERT OR IGNORE INTO sessions (id, build, made_at) VALUES (?, ?, ?)")
                .bind(session.as_str())
                .bind(build.0)
                .bind(now.as_microsecond())
                .execute(&mut *transaction)
                .await?;
        transaction.commit().await?;
        Ok(made.rows_affected() == 1)
    }

    /// What sessions have taken since `since`, and take now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session_load(&self, since: Timestamp) -> Result<SessionLoad, StoreError> {
        let (sessions, builds, unfinished): (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM sessions WHERE made_at >= ?1),
                    (SELECT count(DISTINCT build) FROM sessions JOIN builds ON number = build
                      WHERE made_at >= ?1 AND submitted_at >= ?1),
                    (SELECT count(*) FROM builds WHERE state IN ('queued', 'running')
                        AND EXISTS (SELECT 1 FROM sessions WHERE build = number))",
        )
        .bind(since.as_microsecond())
        .fetch_one(&self.readers)
        .await?;
        Ok(SessionLoad {
            sessions: sessions.cast_unsigned(),
            builds: builds.cast_unsigned(),
            unfinished: unfinished.cast_unsigned(),
        })
    }

    /// Whether any build was for the kernel with this release, config and patches, however it ended, unless the
    /// server had no source of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn knows_kernel(
        &self,
        release: &KernelRelease,
        config: Sha256Digest,
        baseline: &[PatchRecord],
    ) -> Result<bool, StoreError> {
        let known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM builds WHERE config = ? AND release = ? AND baseline = ?
                                AND failure ->> '$.class' IS NOT 'release-unknown')",
        )
        .bind(config.to_string())
        .bind(release.as_str())
        .bind(to_json(&baseline))
        .fetch_one(&self.readers)
        .await?;
        Ok(known)
    }

    /// How many kernels sessions have ordered for since `since` for which there was no build before. Those of which the
    /// server has no source do not count: nothing was built for them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kernels_of_sessions(&self, since: Timestamp) -> Result<u64, StoreError> {
        let kernels: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM builds AS first
              WHERE number IN (SELECT build FROM sessions WHERE made_at >= ?1) AND submitted_at >= ?1
                AND failure ->> '$.class' IS NOT 'release-unknown'
                AND NOT EXISTS (SELECT 1 FROM builds AS earlier
                                 WHERE earlier.config = first.config AND earlier.number < first.number
                                   AND earlier.release = first.release AND earlier.baseline = first.baseline
                                   AND earlier.failure ->> '$.class' IS NOT 'release-unknown')",
        )
        .bind(since.as_microsecond())
        .fetch_one(&self.readers)
        .await?;
        Ok(kernels.cast_unsigned())
    }
}
