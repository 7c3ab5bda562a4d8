use elivepatch_model::{BuildNumber, BuildState, Failure, FailureClass, StepState, limits};
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use crate::{
    LeaseProof, Store, StoreError,
    events::{append_state, end_steps},
    lease::require_lease,
    row::to_json,
};

/// How a worker left its builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerEnd {
    /// It stopped in good order: its builds are none the worse for it.
    Stopped,
    /// It died: each of its builds has lost an attempt, for the build may be what killed it.
    Died,
}

/// Whether going back to the queue counts against a build.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// It counts, and the build rests until this time column.
    Counts {
        /// The earliest time for the next claim.
        not_before: i64,
    },
    /// It does not.
    Free,
}

impl Store {
    /// Takes back every lease whose deadline has passed. Gives the builds concerned.
    ///
    /// # Errors
    /// When the database fails; then nothing was changed.
    pub async fn expire_leases(&self, now: Timestamp) -> Result<Vec<BuildNumber>, StoreError> {
        // Most calls find nothing; those should not take the write lock.
        let overdue: Option<i64> = sqlx::query_scalar(
            "SELECT number FROM builds WHERE state = 'running' AND lease_deadline <= ? LIMIT 1",
        )
        .bind(now.as_microsecond())
        .fetch_optional(&self.readers)
        .await?;
        if overdue.is_none() {
            return Ok(Vec::new());
        }
        let mut transaction = self.write().await?;
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(
            "SELECT number, lease_worker, losses FROM builds
             WHERE state = 'running' AND lease_deadline <= ? ORDER BY number",
        )
        .bind(now.as_microsecond())
        .fetch_all(&mut *transaction)
        .await?;
        let builds = take_back(&mut transaction, rows, WorkerEnd::Died, now).await?;
        transaction.commit().await?;
        Ok(builds)
    }

    /// Takes back every lease of a worker that is known to be gone. Gives the builds concerned.
    ///
    /// # Errors
    /// When the database fails; then nothing was changed.
    pub async fn release_worker(
        &self,
        worker: &str,
        end: WorkerEnd,
        now: Timestamp,
    ) -> Result<Vec<BuildNumber>, StoreError> {
        let mut transaction = self.write().await?;
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(
            "SELECT number, lease_worker, losses FROM builds
             WHERE state = 'running' AND lease_worker = ? ORDER BY number",
        )
        .bind(worker)
        .fetch_all(&mut *transaction)
        .await?;
        let builds = take_back(&mut transaction, rows, end, now).await?;
        transaction.commit().await?;
        Ok(builds)
    }

    /// Gives a build back that its worker does not end: it waits for another one, and has not lost an attempt.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the proof does not hold.
    pub async fn release(&self, proof: &LeaseProof, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        require_lease(&mut transaction, proof, now).await?;
        requeue(&mut transaction, proof.number, Loss::Free, None, now).await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn take_back(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: Vec<(i64, String, i64)>,
    end: WorkerEnd,
    now: Timestamp,
) -> Result<Vec<BuildNumber>, StoreError> {
    let mut builds = Vec::with_capacity(rows.len());
    for (number, worker, losses) in rows {
        let number = BuildNumber(number);
        builds.push(number);
        if end == WorkerEnd::Stopped {
            requeue(transaction, number, Loss::Free, None, now).await?;
        } else if losses < i64::from(limits::ATTEMPTS) {
            let loss = Loss::Counts { not_before: 0 };
            requeue(transaction, number, loss, None, now).await?;
        } else {
            end_failed(transaction, number, &worker_lost(&worker), now).await?;
        }
    }
    Ok(builds)
}

fn worker_lost(worker: &str) -> Failure {
    Failure::new(
        FailureClass::WorkerLost,
        format!(
            "the worker \"{worker}\" was lost during the build, which had gone back to the queue {} \
             times already",
            limits::ATTEMPTS
        ),
        "see in the worker's log why it stopped (killed, restarted, out of memory?), then submit \
         again: a restart with SIGTERM does not count, kill -9 does",
    )
}

/// Puts a leased build back into the queue.
pub(crate) async fn requeue(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
    loss: Loss,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (lost, not_before) = match loss {
        Loss::Counts { not_before } => (1, not_before),
        Loss::Free => (0, 0),
    };
    sqlx::query(
        "UPDATE builds SET state = 'queued', losses = losses + ?, not_before = ?, module = NULL,
                lease_token = NULL, lease_worker = NULL, lease_deadline = NULL
         WHERE number = ?",
    )
    .bind(lost)
    .bind(not_before)
    .bind(number.0)
    .execute(&mut **transaction)
    .await?;
    end_steps(transaction, number, StepState::Failed).await?;
    append_state(transaction, number, BuildState::Queued, failure, now).await
}

/// Ends a leased build as failed.
pub(crate) async fn end_failed(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
    failure: &Failure,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE builds SET state = 'failed', failure = ?, finished_at = ?,
                module = NULL, lease_token = NULL, lease_worker = NULL, lease_deadline = NULL
         WHERE number = ?",
    )
    .bind(to_json(failure))
    .bind(now.as_microsecond())
    .bind(number.0)
    .execute(&mut **transaction)
    .await?;
    end_steps(transaction, number, StepState::Failed).await?;
    append_state(transaction, number, BuildState::Failed, Some(failure), now).await
}
