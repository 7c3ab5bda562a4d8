use elivepatch_model::{HostName, Whom};
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use super::{
    register::require_host,
    whom::{self, is_for_host},
};
use crate::{Store, StoreError, time::from_column};

/// Hosts that stay as they are until they are released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRecord {
    /// Which.
    pub whom: Whom,
    /// Why; may be empty.
    pub reason: String,
    /// Since when.
    pub made_at: Timestamp,
}

/// Kind, name, reason, time.
type Row = (String, String, String, i64);

impl HoldRecord {
    fn from_row((kind, name, reason, made_at): Row) -> Result<Self, StoreError> {
        let whom = whom::read(&kind, &name)?;
        Ok(Self { whom, reason, made_at: from_column(made_at)? })
    }
}

impl Store {
    /// Holds hosts. Holding them again changes the reason.
    ///
    /// # Errors
    /// [`StoreError::NoSuchHost`], or a failure of the database.
    pub async fn hold(&self, hold: &HoldRecord) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        if let Whom::Host(name) = &hold.whom {
            require_host(&mut transaction, name).await?;
        }
        sqlx::query(
            "INSERT OR REPLACE INTO holds (to_kind, to_name, reason, made_at) VALUES (?, ?, ?, ?)",
        )
        .bind(whom::kind(&hold.whom))
        .bind(whom::name(&hold.whom))
        .bind(&hold.reason)
        .bind(hold.made_at.as_microsecond())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Releases hosts that were held by exactly this: a host whose tag is held stays held.
    ///
    /// # Errors
    /// [`StoreError::NoSuchHost`], [`StoreError::NotHeld`], or a failure of the database.
    pub async fn release_hold(&self, whom: &Whom) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        if let Whom::Host(name) = whom {
            require_host(&mut transaction, name).await?;
        }
        let removed = sqlx::query("DELETE FROM holds WHERE to_kind = ? AND to_name = ?")
            .bind(whom::kind(whom))
            .bind(whom::name(whom))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        match removed.rows_affected() {
            0 => Err(StoreError::NotHeld(whom.clone())),
            _ => Ok(()),
        }
    }

    /// At most `limit` holds: that of all hosts, then those of tags, then those of single hosts.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn holds(&self, limit: u32) -> Result<Vec<HoldRecord>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT to_kind, to_name, reason, made_at FROM holds
              ORDER BY to_kind = 'host', to_kind = 'tag', to_name LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(HoldRecord::from_row).collect()
    }
}

/// What holds a host, that of itself first.
pub(super) async fn holds_of(
    transaction: &mut Transaction<'_, Sqlite>,
    host: &HostName,
) -> Result<Vec<HoldRecord>, StoreError> {
    let statement =
        concat!("SELECT to_kind, to_name, reason, made_at FROM holds WHERE ", is_for_host!());
    let rows: Vec<Row> =
        sqlx::query_as(statement).bind(host.as_str()).fetch_all(&mut **transaction).await?;
    let holds: Result<Vec<_>, _> = rows.into_iter().map(HoldRecord::from_row).collect();
    let mut holds = holds?;
    holds.sort_by(|one, other| one.whom.cmp(&other.whom));
    Ok(holds)
}
