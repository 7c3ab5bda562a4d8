use elivepatch_model::{BuildNumber, Sha256Digest};
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use crate::{
    LEASE_DURATION, Store, StoreError,
    time::{from_column, later},
    workers::record_worker,
};

/// What a worker shows with every write: the build and the token that its claim got.
#[derive(Clone)]
pub struct LeaseProof {
    /// The build.
    pub number: BuildNumber,
    /// The digest of the token. The token itself is never stored.
    pub(crate) token: Sha256Digest,
}

/// What became of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease lasts until then.
    Until(Timestamp),
    /// The build was cancelled: the worker should stop.
    Cancelled,
}

impl LeaseProof {
    /// The proof for a build and the token as the worker sent it.
    pub fn new(number: BuildNumber, token: &str) -> Self {
        Self { number, token: Sha256Digest::of(token.as_bytes()) }
    }
}

impl std::fmt::Debug for LeaseProof {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LeaseProof").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Store {
    /// Renews a lease, and tells whether the build was cancelled meanwhile.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the proof does not hold.
    pub async fn renew(&self, proof: &LeaseProof, now: Timestamp) -> Result<Renewal, StoreError> {
        let mut transaction = self.write().await?;
        let deadline = later(now, LEASE_DURATION);
        let worker: Option<String> = sqlx::query_scalar(
            "UPDATE builds SET lease_deadline = ?1
             WHERE number = ?2 AND state = 'running' AND lease_token = ?3 AND lease_deadline > ?4
             RETURNING lease_worker",
        )
        .bind(deadline)
        .bind(proof.number.0)
        .bind(proof.token.to_string())
        .bind(now.as_microsecond())
        .fetch_optional(&mut *transaction)
        .await?;
        let renewal = if let Some(worker) = worker {
            record_worker(&mut transaction, &worker, now).await?;
            Renewal::Until(from_column(deadline)?)
        } else {
            // A cancelled build keeps its token for just this: its worker must be told.
            sqlx::query_scalar::<_, i64>(
                "SELECT number FROM builds
                 WHERE number = ? AND state = 'cancelled' AND lease_token = ?",
            )
            .bind(proof.number.0)
            .bind(proof.token.to_string())
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or(StoreError::LeaseLost(proof.number))?;
            Renewal::Cancelled
        };
        transaction.commit().await?;
        Ok(renewal)
    }

    /// Checks a proof for something that only reads.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when it does not hold.
    pub async fn check_lease(&self, proof: &LeaseProof, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.readers.begin().await?;
        require_lease(&mut transaction, proof, now).await
    }
}

/// Fails unless the proof holds now. Within a transaction that writes, it holds until the commit.
pub(crate) async fn require_lease(
    transaction: &mut Transaction<'_, Sqlite>,
    proof: &LeaseProof,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query_scalar::<_, i64>(
        "SELECT number FROM builds
         WHERE number = ? AND state = 'running' AND lease_token = ? AND lease_deadline > ?",
    )
    .bind(proof.number.0)
    .bind(proof.token.to_string())
    .bind(now.as_microsecond())
    .fetch_optional(&mut **transaction)
    .await?
    .map(|_| ())
    .ok_or(StoreError::LeaseLost(proof.number))
}
