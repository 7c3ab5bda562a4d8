use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Sqlite, Transaction};

use crate::{
    Store, StoreError,
    row::{from_json, to_json},
    time::from_column,
};

/// What is written down of what people and hosts do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAction {
    /// A build was ordered, or one that was there joined.
    BuildOrdered,
    /// A build was cancelled.
    BuildCancelled,
    /// A rebuild was ordered.
    RebuildOrdered,
    /// A CVE run was ordered, or one that was there joined.
    RunOrdered,
    /// A CVE run was cancelled.
    RunCancelled,
    /// A token was made.
    TokenCreated,
    /// A token was taken back.
    TokenRevoked,
    /// An enrolment token was used up.
    TokenUsed,
    /// A host was registered.
    HostEnrolled,
    /// A patch was approved as the fix of a CVE.
    FixApproved,
    /// The approval was taken back.
    FixWithdrawn,
    /// A host was forgotten.
    HostForgotten,
    /// A host got other tags.
    HostTagged,
    /// Hosts are held.
    HostsHeld,
    /// They are released.
    HostsReleased,
    /// A livepatch was assigned.
    LivepatchAssigned,
    /// An assignment was taken away.
    AssignmentRemoved,
    /// A livepatch was withdrawn.
    LivepatchWithdrawn,
    /// One that was withdrawn is allowed again.
    LivepatchAllowed,
    /// A host told that it has loaded a livepatch.
    LivepatchLoaded,
    /// A host told that it has taken one back.
    LivepatchTakenBack,
    /// Something was asked for that the role does not allow.
    RequestRefused,
}

impl AuditAction {
    /// Its name, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuildOrdered => "build-ordered",
            Self::BuildCancelled => "build-cancelled",
            Self::RebuildOrdered => "rebuild-ordered",
            Self::RunOrdered => "run-ordered",
            Self::RunCancelled => "run-cancelled",
            Self::TokenCreated => "token-created",
            Self::TokenRevoked => "token-revoked",
            Self::TokenUsed => "token-used",
            Self::HostEnrolled => "host-enrolled",
            Self::FixApproved => "fix-approved",
            Self::FixWithdrawn => "fix-withdrawn",
            Self::HostForgotten => "host-forgotten",
            Self::HostTagged => "host-tagged",
            Self::HostsHeld => "hosts-held",
            Self::HostsReleased => "hosts-released",
            Self::LivepatchAssigned => "livepatch-assigned",
            Self::AssignmentRemoved => "assignment-removed",
            Self::LivepatchWithdrawn => "livepatch-withdrawn",
            Self::LivepatchAllowed => "livepatch-allowed",
            Self::LivepatchLoaded => "livepatch-loaded",
            Self::LivepatchTakenBack => "livepatch-taken-back",
            Self::RequestRefused => "request-refused",
        }
    }
}

/// Something to be written down.
#[derive(Debug, Clone)]
pub struct NewAudit<'a> {
    /// When it happened.
    pub at: Timestamp,
    /// Who did it: a token, a host, a user of the server's machine.
    pub actor: &'a str,
    /// What.
    pub action: AuditAction,
    /// To what, such as `build 17`.
    pub subject: &'a str,
    /// What else is to be known: an object, for programs and for people.
    pub detail: Value,
}

/// Something that was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Its number: more is later.
    pub number: i64,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What. A newer version may have written others than this one.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What else is to be known.
    pub detail: Value,
}

/// Which entries to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter {
    /// Only entries since then.
    pub since: Option<Timestamp>,
    /// Only entries with a lower number.
    pub before: Option<i64>,
}

impl Store {
    /// Writes an entry into the audit log. Nothing in it is ever changed or removed.
    ///
    /// # Errors
    /// When the database fails or the disk is full.
    pub async fn audit(&self, entry: &NewAudit<'_>) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The same, unless the same actor did the same to the same before.
    ///
    /// # Errors
    /// As for [`Store::audit`].
    pub async fn audit_once(&self, entry: &NewAudit<'_>) -> Result<(), StoreError> {
        let is_there: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM audit WHERE subject = ? AND action = ? AND actor = ?)",
        )
        .bind(entry.subject)
        .bind(entry.action.as_str())
        .bind(entry.actor)
        .fetch_one(&self.readers)
        .await?;
        if is_there { Ok(()) } else { self.audit(entry).await }
    }

    /// At most `limit` entries of the audit log, the newest first.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn audit_log(
        &self,
        filter: AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let rows: Vec<(i64, i64, String, String, String, String)> = sqlx::query_as(
            "SELECT number, at, actor, action, subject, detail FROM audit
              WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR number < ?2)
              ORDER BY number DESC LIMIT ?3",
        )
        .bind(filter.since.map(Timestamp::as_microsecond))
        .bind(filter.before)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let record = |(number, at, actor, action, subject, detail): (i64, i64, _, _, _, String)| {
            Ok(AuditRecord {
                number,
                at: from_column(at)?,
                actor,
                action,
                subject,
                detail: from_json(&detail, &format!("entry {number} of the audit log"))?,
            })
        };
        rows.into_iter().map(record).collect()
    }
}

/// Writes an entry in a transaction that does what it says.
pub(crate) async fn append(
    transaction: &mut Transaction<'_, Sqlite>,
    entry: &NewAudit<'_>,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)")
        .bind(entry.at.as_microsecond())
        .bind(entry.actor)
        .bind(entry.action.as_str())
        .bind(entry.subject)
        .bind(to_json(&entry.detail))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
