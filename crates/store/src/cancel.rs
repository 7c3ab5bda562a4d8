use elivepatch_model::{BuildNumber, BuildState, RunNumber, StepState};
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use crate::{
    Store, StoreError,
    events::{append_state, end_steps},
};

impl Store {
    /// Cancels a build that waits or runs. A running one is cancelled at once as well: its worker
    /// hears of it by heartbeat, and whatever it still sends is refused.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBuild`], [`StoreError::Finished`] when it is too late.
    pub async fn cancel(&self, number: BuildNumber, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let state: Option<String> = sqlx::query_scalar("SELECT state FROM builds WHERE number = ?")
            .bind(number.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let state: BuildState = state
            .ok_or(StoreError::NoSuchBuild(number))?
            .parse()
            .map_err(|error: String| StoreError::corrupt(format!("build {number}"), error))?;
        if state.is_finished() {
            return Err(StoreError::Finished { number, state });
        }
        cancel_unfinished(&mut transaction, number, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Cancels the probes of a run that wait or run, and gives them: for a run that has ended. Another run may have
    /// joined them, and orders them anew.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cancel_probes(
        &self,
        run: RunNumber,
        now: Timestamp,
    ) -> Result<Vec<BuildNumber>, StoreError> {
        let mut transaction = self.write().await?;
        let probes = cancel_probes(&mut transaction, run, now).await?;
        transaction.commit().await?;
        Ok(probes)
    }

    /// The runs that were cancelled or have failed, and of which a probe waits or runs all the same: the server ended
    /// while it ordered or cancelled them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ended_runs_with_probes(&self) -> Result<Vec<RunNumber>, StoreError> {
        let runs: Vec<i64> = sqlx::query_scalar(
            "SELECT DISTINCT probe_of FROM builds JOIN runs ON runs.number = probe_of
             WHERE builds.state IN ('queued', 'running') AND runs.state IN ('cancelled', 'failed')
             ORDER BY probe_of",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(runs.into_iter().map(RunNumber).collect())
    }
}

/// [`Store::cancel_probes`] within a transaction.
pub(crate) async fn cancel_probes(
    transaction: &mut Transaction<'_, Sqlite>,
    run: RunNumber,
    now: Timestamp,
) -> Result<Vec<BuildNumber>, StoreError> {
    let probes: Vec<i64> = sqlx::query_scalar(
        "SELECT number FROM builds WHERE probe_of = ? AND state IN ('queued', 'running')",
    )
    .bind(run.0)
    .fetch_all(&mut **transaction)
    .await?;
    let probes: Vec<_> = probes.into_iter().map(BuildNumber).collect();
    for probe in &probes {
        cancel_unfinished(transaction, *probe, now).await?;
    }
    Ok(probes)
}

/// Cancels a build that is known to wait or run.
async fn cancel_unfinished(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
    now: Timestamp,
) -> Result<(), StoreError> {
    // The token stays: by it the worker is told apart from a stranger when it is told.
    sqlx::query(
        "UPDATE builds SET state = 'cancelled', finished_at = ?, module = NULL, lease_deadline = NULL
         WHERE number = ?",
    )
    .bind(now.as_microsecond())
    .bind(number.0)
    .execute(&mut **transaction)
    .await?;
    end_steps(transaction, number, StepState::Failed).await?;
    append_state(transaction, number, BuildState::Cancelled, None, now).await
}
