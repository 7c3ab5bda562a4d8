//! The sessions of clients of the REST API v1.0.

use elivepatch_model::{BuildNumber, SessionId};
use jiff::Timestamp;

use crate::{Store, StoreError};

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
}
