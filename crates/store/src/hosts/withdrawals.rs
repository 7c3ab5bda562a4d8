use elivepatch_model::{BuildNumber, Sha256Digest};
use jiff::Timestamp;

use super::assignments::{Livepatch, livepatch_of};
use crate::{Store, StoreError, row::parse_digest, time::from_column};

/// A livepatch that no host may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawalRecord {
    /// The build that made it.
    pub build: BuildNumber,
    /// The digest of its module. A rebuild with the same bytes is withdrawn with it.
    pub module: Sha256Digest,
    /// Why; may be empty.
    pub reason: String,
    /// When it was withdrawn.
    pub made_at: Timestamp,
}

/// Build, module, reason, time.
type Row = (i64, String, String, i64);

impl WithdrawalRecord {
    fn from_row((build, module, reason, made_at): Row) -> Result<Self, StoreError> {
        let module = parse_digest(&module, &format!("the withdrawal of build {build}"))?;
        Ok(Self { build: BuildNumber(build), module, reason, made_at: from_column(made_at)? })
    }
}

impl Store {
    /// Withdraws the livepatch of a build: hosts that run it are told to take it back, and none is told to load
    /// it. Withdrawing it again changes the reason. Gives also how many hosts have it by their last reports.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBuild`], or [`StoreError::NoLivepatch`] and [`StoreError::OnlyProbe`] when the
    /// build has none.
    pub async fn withdraw(
        &self,
        build: BuildNumber,
        reason: &str,
        now: Timestamp,
    ) -> Result<(WithdrawalRecord, u64), StoreError> {
        let mut transaction = self.write().await?;
        let Livepatch { module, .. } = livepatch_of(&mut transaction, build).await?;
        sqlx::query(
            "INSERT OR REPLACE INTO withdrawals (build, module, reason, made_at) VALUES (?, ?, ?, ?)",
        )
        .bind(build.0)
        .bind(module.to_string())
        .bind(reason)
        .bind(now.as_microsecond())
        .execute(&mut *transaction)
        .await?;
        let hosts: i64 = sqlx::query_scalar("SELECT count(*) FROM hosts WHERE livepatch = ?")
            .bind(module.to_string())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let reason = reason.to_owned();
        Ok((WithdrawalRecord { build, module, reason, made_at: now }, hosts.cast_unsigned()))
    }

    /// Lets hosts run a livepatch again that was withdrawn; what is assigned of it counts again.
    ///
    /// # Errors
    /// [`StoreError::NotWithdrawn`], or a failure of the database.
    pub async fn allow(&self, build: BuildNumber) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let removed = sqlx::query("DELETE FROM withdrawals WHERE build = ?")
            .bind(build.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        match removed.rows_affected() {
            0 => Err(StoreError::NotWithdrawn(build)),
            _ => Ok(()),
        }
    }

    /// At most `limit` withdrawals of builds before `before`, those of the newest builds first.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn withdrawals(
        &self,
        before: Option<BuildNumber>,
        limit: u32,
    ) -> Result<Vec<WithdrawalRecord>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT build, module, reason, made_at FROM withdrawals
              WHERE (?1 IS NULL OR build < ?1) ORDER BY build DESC LIMIT ?2",
        )
        .bind(before.map(|build| build.0))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(WithdrawalRecord::from_row).collect()
    }

    /// The withdrawal of a module, the newest when several builds made it; `None` when it was not withdrawn.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn withdrawal(
        &self,
        module: Sha256Digest,
    ) -> Result<Option<WithdrawalRecord>, StoreError> {
        withdrawal_of(&self.readers, module).await
    }
}

/// The same, as `executor` sees it.
pub(super) async fn withdrawal_of<'c>(
    executor: impl sqlx::SqliteExecutor<'c>,
    module: Sha256Digest,
) -> Result<Option<WithdrawalRecord>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT build, module, reason, made_at FROM withdrawals
          WHERE module = ? ORDER BY made_at DESC LIMIT 1",
    )
    .bind(module.to_string())
    .fetch_optional(executor)
    .await?;
    row.map(WithdrawalRecord::from_row).transpose()
}
