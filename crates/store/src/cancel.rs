use elivepatch_model::{BuildNumber, BuildState, StepState};
use jiff::Timestamp;

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
        // The token stays: by it the worker is told apart from a stranger when it is told.
        sqlx::query(
            "UPDATE builds SET state = 'cancelled', finished_at = ?, module = NULL, lease_deadline = NULL
             WHERE number = ?",
        )
        .bind(now.as_microsecond())
        .bind(number.0)
        .execute(&mut *transaction)
        .await?;
        end_steps(&mut transaction, number, StepState::Failed).await?;
        append_state(&mut transaction, number, BuildState::Cancelled, None, now).await?;
        transaction.commit().await?;
        Ok(())
    }
}
