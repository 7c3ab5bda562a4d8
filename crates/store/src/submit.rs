use elivepatch_model::{
    BehaviourCheck, BuildKey, BuildNumber, BuildOptions, BuildState, Fix, PatchRecord, RebuildOf,
    RunNumber, TargetFacts,
};
use jiff::Timestamp;

use crate::{
    BuildRecord, KeptBlob, Store, StoreError,
    blobs::record_blob,
    events::append_state,
    row::{BuildRow, build_columns, to_json},
};

/// A build to be queued.
#[derive(Debug, Clone)]
pub struct NewBuild {
    /// Its key: an equal build is joined.
    pub key: BuildKey,
    /// The kernel to be patched.
    pub target: TargetFacts,
    /// The config's text.
    pub config: KeptBlob,
    /// The symbols of the running kernel, when they are needed.
    pub kallsyms: Option<KeptBlob>,
    /// The patches that are compiled into it, in their order.
    pub baseline: Vec<PatchRecord>,
    /// The fixes in their order.
    pub fixes: Vec<Fix>,
    /// The texts of the fixes, and of the patches that are compiled in.
    pub patches: Vec<KeptBlob>,
    /// What the trial must see.
    pub checks: Vec<BehaviourCheck>,
    /// How the livepatch is to be made.
    pub options: BuildOptions,
    /// The livepatch that it makes again; such a build is a new one whatever is there, and is
    /// joined by none.
    pub rebuild: Option<RebuildOf>,
    /// How soon it is built, compared with others: more is sooner. What people wait for has 0.
    pub priority: i32,
    /// The CVE run that orders it, of a probe.
    pub probe_of: Option<RunNumber>,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The build.
    pub build: BuildRecord,
    /// Whether it was there already.
    pub joined: bool,
}

impl Store {
    /// Queues a build, or finds the equal one that waits, runs, has a livepatch, or has failed in a
    /// way that is final.
    ///
    /// # Errors
    /// [`StoreError::QueueFull`] when `queue_limit` builds wait already, [`StoreError::DiskFull`],
    /// or a failure of the database.
    pub async fn submit(
        &self,
        new: &NewBuild,
        queue_limit: u64,
        now: Timestamp,
    ) -> Result<Submission, StoreError> {
        let mut transaction = self.write().await?;
        if new.rebuild.is_none()
            && let Some(build) = self.find_equal(&mut *transaction, new.key).await?
        {
            raise_priority(&mut *transaction, build.number, new.priority).await?;
            transaction.commit().await?;
            return Ok(Submission { build, joined: true });
        }
        let queued: i64 = sqlx::query_scalar("SELECT count(*) FROM builds WHERE state = 'queued'")
            .fetch_one(&mut *transaction)
            .await?;
        if queued.cast_unsigned() >= queue_limit {
            return Err(StoreError::QueueFull(queue_limit));
        }
        record_blob(&mut transaction, new.config, now).await?;
        for blob in new.patches.iter().chain(&new.kallsyms) {
            record_blob(&mut transaction, *blob, now).await?;
        }
        let statement = concat!(
            "INSERT INTO builds (build_key, state, architecture, release, target, config,
                                 kallsyms, baseline, fixes, checks, options, rebuild, priority, probe_of,
                                 submitted_at)
             VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING ",
            build_columns!()
        );
        let row: BuildRow = sqlx::query_as(statement)
            .bind(new.key.to_string())
            .bind(new.target.architecture.as_str())
            .bind(new.target.release.as_str())
            .bind(to_json(&new.target))
            .bind(new.config.digest.to_string())
            .bind(new.kallsyms.map(|blob| blob.digest.to_string()))
            .bind(to_json(&new.baseline))
            .bind(to_json(&new.fixes))
            .bind(to_json(&new.checks))
            .bind(to_json(&new.options))
            .bind(new.rebuild.as_ref().map(to_json))
            .bind(new.priority)
            .bind(new.probe_of.map(|run| run.0))
            .bind(now.as_microsecond())
            .fetch_one(&mut *transaction)
            .await?;
        let build = BuildRecord::try_from(row)?;
        append_state(&mut transaction, build.number, BuildState::Queued, None, now).await?;
        transaction.commit().await?;
        Ok(Submission { build, joined: false })
    }

    /// Lets a build that waits be built as soon as one that joins it would be.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn raise_priority(
        &self,
        number: BuildNumber,
        priority: i32,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        raise_priority(&mut *transaction, number, priority).await?;
        Ok(transaction.commit().await?)
    }

    /// The numbers of all builds with this key, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn builds_with_key(&self, key: BuildKey) -> Result<Vec<BuildNumber>, StoreError> {
        let numbers: Vec<i64> =
            sqlx::query_scalar("SELECT number FROM builds WHERE build_key = ? ORDER BY number")
                .bind(key.to_string())
                .fetch_all(&self.readers)
                .await?;
        Ok(numbers.into_iter().map(BuildNumber).collect())
    }
}

async fn raise_priority<'c>(
    executor: impl sqlx::SqliteExecutor<'c>,
    number: BuildNumber,
    priority: i32,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE builds SET priority = ?1 WHERE number = ?2 AND state = 'queued' AND priority < ?1",
    )
    .bind(priority)
    .bind(number.0)
    .execute(executor)
    .await?;
    Ok(())
}
