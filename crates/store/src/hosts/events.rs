use elivepatch_model::HostName;
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use crate::{Store, StoreError, time::from_column};

/// How many events of a host are kept: a host to which something happens each day has three months. What a
/// host tells is not to be believed; it can only push out its own.
pub const HOST_EVENTS: u32 = 100;

/// Something that happened on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEventRecord {
    /// When it was told.
    pub at: Timestamp,
    /// What: a document of the server.
    pub body: String,
}

impl Store {
    /// What happened on a host, newest first.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn host_events(&self, host: &HostName) -> Result<Vec<HostEventRecord>, StoreError> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT at, body FROM host_events WHERE host = ? ORDER BY number DESC")
                .bind(host.as_str())
                .fetch_all(&self.readers)
                .await?;
        rows.into_iter()
            .map(|(at, body)| Ok(HostEventRecord { at: from_column(at)?, body }))
            .collect()
    }
}

/// Writes events down, and removes the oldest that are too many.
pub(super) async fn add_events(
    transaction: &mut Transaction<'_, Sqlite>,
    host: &HostName,
    bodies: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    for body in bodies {
        sqlx::query("INSERT INTO host_events (host, at, body) VALUES (?, ?, ?)")
            .bind(host.as_str())
            .bind(now.as_microsecond())
            .bind(body)
            .execute(&mut **transaction)
            .await?;
    }
    if !bodies.is_empty() {
        sqlx::query(
            "DELETE FROM host_events WHERE host = ?1 AND number <=
             (SELECT number FROM host_events WHERE host = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        )
        .bind(host.as_str())
        .bind(HOST_EVENTS)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}
