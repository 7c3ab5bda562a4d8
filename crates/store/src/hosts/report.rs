use elivepatch_model::{
    BuildNumber, ElfBuildId, HostName, KernelRelease, Sha256Digest, TargetFacts,
};
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use super::{
    AssignmentRecord, HoldRecord, WithdrawalRecord,
    assignments::assignments_of,
    events::add_events,
    holds::holds_of,
    register::{insert_kernel, remove_unused_kernel},
    withdrawals::withdrawal_of,
};
use crate::{Store, StoreError};

/// What a host told.
#[derive(Debug, Clone)]
pub struct ReportedHost<'a> {
    /// Its name.
    pub name: &'a HostName,
    /// Its kernel, and what is active on it ([`TargetFacts::as_assessed`]).
    pub kernel: &'a TargetFacts,
    /// How it stands, in the server's word for it.
    pub state: &'a str,
    /// For how long it runs, in seconds.
    pub uptime_seconds: u64,
    /// The digest of the module of the livepatch that is meant to be loaded.
    pub livepatch: Option<Sha256Digest>,
    /// The report without what differs every time: a document that the store does not read.
    pub body: &'a str,
}

/// What decides what a host is to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderGrounds {
    /// What holds it, that of itself first.
    pub holds: Vec<HoldRecord>,
    /// What is assigned to it for a kernel of its release: to itself first, then to its tags, then to all, the
    /// newest of each first.
    pub assignments: Vec<AssignmentRecord>,
    /// That the livepatch that it has was withdrawn.
    pub withdrawal: Option<WithdrawalRecord>,
}

impl Store {
    /// Keeps what a host told, and gives what decides what it is to do. `notice` gets the body of the report
    /// before, when there was one and it differs, and gives the events that are to be written down.
    ///
    /// # Errors
    /// [`StoreError::NoSuchHost`], [`StoreError::DiskFull`], or a failure of the database.
    pub async fn record_report(
        &self,
        told: &ReportedHost<'_>,
        now: Timestamp,
        notice: impl FnOnce(Option<&str>) -> Vec<String> + Send,
    ) -> Result<OrderGrounds, StoreError> {
        let mut transaction = self.write().await?;
        let before: Option<(String, Option<String>)> = sqlx::query_as(
            "SELECT kernel, body FROM hosts LEFT JOIN host_reports ON host = name WHERE name = ?",
        )
        .bind(told.name.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let (old_kernel, old_body) =
            before.ok_or_else(|| StoreError::NoSuchHost(told.name.clone()))?;
        let kernel = insert_kernel(&mut transaction, told.kernel).await?.to_string();
        update(&mut transaction, told, &kernel, now).await?;
        if kernel != old_kernel {
            remove_unused_kernel(&mut transaction, &old_kernel).await?;
        }
        if old_body.as_deref() != Some(told.body) {
            sqlx::query("INSERT OR REPLACE INTO host_reports (host, body) VALUES (?, ?)")
                .bind(told.name.as_str())
                .bind(told.body)
                .execute(&mut *transaction)
                .await?;
            let events = notice(old_body.as_deref());
            add_events(&mut transaction, told.name, &events, now).await?;
        }
        let release = &told.kernel.release;
        let grounds = grounds(&mut transaction, told.name, release, told.livepatch).await?;
        transaction.commit().await?;
        Ok(grounds)
    }

    /// What decides what a host is to do, by what it told last.
    ///
    /// # Errors
    /// [`StoreError::NoSuchHost`], or a failure of the database.
    pub async fn order_grounds(&self, name: &HostName) -> Result<OrderGrounds, StoreError> {
        let host = self.host(name).await?;
        let mut transaction = self.readers.begin().await?;
        grounds(&mut transaction, name, &host.release, host.livepatch).await
    }

    /// The body of a host's last report.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn host_report(&self, name: &HostName) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT body FROM host_reports WHERE host = ?")
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await?)
    }

    /// The newest build that made a module.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn build_that_made(
        &self,
        module: Sha256Digest,
    ) -> Result<Option<BuildNumber>, StoreError> {
        let number: Option<i64> = sqlx::query_scalar(
            "SELECT number FROM builds WHERE module = ? AND state = 'succeeded'
              ORDER BY number DESC LIMIT 1",
        )
        .bind(module.to_string())
        .fetch_optional(&self.readers)
        .await?;
        Ok(number.map(BuildNumber))
    }

    /// The build-id of a module that was made here, by the digest of its file.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn module_build_id(
        &self,
        module: Sha256Digest,
    ) -> Result<Option<ElfBuildId>, StoreError> {
        let text: Option<Option<String>> = sqlx::query_scalar(
            "SELECT manifest ->> '$.module.build_id' FROM builds
              WHERE module = ? AND state = 'succeeded' LIMIT 1",
        )
        .bind(module.to_string())
        .fetch_optional(&self.readers)
        .await?;
        text.flatten().as_deref().map(|id| super::parse(id, "a module's build-id")).transpose()
    }
}

async fn update(
    transaction: &mut Transaction<'_, Sqlite>,
    told: &ReportedHost<'_>,
    kernel: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE hosts SET last_seen = ?, release = ?, architecture = ?, build_id = ?, kernel = ?,
                state = ?, uptime_seconds = ?, livepatch = ?
          WHERE name = ?",
    )
    .bind(now.as_microsecond())
    .bind(told.kernel.release.as_str())
    .bind(told.kernel.architecture.as_str())
    .bind(told.kernel.build_id.as_ref().map(ElfBuildId::as_str))
    .bind(kernel)
    .bind(told.state)
    .bind(i64::try_from(told.uptime_seconds).unwrap_or(i64::MAX))
    .bind(told.livepatch.map(|digest| digest.to_string()))
    .bind(told.name.as_str())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn grounds(
    transaction: &mut Transaction<'_, Sqlite>,
    host: &HostName,
    release: &KernelRelease,
    livepatch: Option<Sha256Digest>,
) -> Result<OrderGrounds, StoreError> {
    Ok(OrderGrounds {
        holds: holds_of(transaction, host).await?,
        assignments: assignments_of(transaction, host, release).await?,
        withdrawal: match livepatch {
            Some(module) => withdrawal_of(&mut **transaction, module).await?,
            None => None,
        },
    })
}
