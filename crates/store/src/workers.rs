use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use crate::{Store, StoreError, time::from_column};

/// A worker that has asked for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRecord {
    /// Its name.
    pub name: String,
    /// When it was last heard of.
    pub last_seen: Timestamp,
}

impl Store {
    /// The workers that were heard of since `since`, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workers(&self, since: Timestamp) -> Result<Vec<WorkerRecord>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT name, last_seen FROM workers WHERE last_seen >= ? ORDER BY name",
        )
        .bind(since.as_microsecond())
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|(name, seen)| Ok(WorkerRecord { name, last_seen: from_column(seen)? }))
            .collect()
    }
}

/// Notes that a worker was heard of.
pub(crate) async fn record_worker(
    transaction: &mut Transaction<'_, Sqlite>,
    name: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO workers (name, last_seen) VALUES (?, ?)
         ON CONFLICT (name) DO UPDATE SET last_seen = excluded.last_seen",
    )
    .bind(name)
    .bind(now.as_microsecond())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
