use elivepatch_api::{Hold, HoldList};
use elivepatch_model::Whom;
use elivepatch_store::{AuditAction, HoldRecord};
use serde_json::json;

use super::{Fleet, LARGEST_PAGE, checked_note, cut};
use crate::app::{AppError, now};

impl Fleet {
    /// Holds hosts: until they are released they stay as they are, but for livepatches that are withdrawn.
    /// Holding them again changes the reason.
    ///
    /// # Errors
    /// When there is no such host, or the reason is too long.
    pub async fn hold(&self, whom: Whom, reason: String) -> Result<Hold, AppError> {
        checked_note("reason", &reason)?;
        let hold = HoldRecord { whom, reason, made_at: now() };
        self.store.hold(&hold).await?;
        tracing::info!(whom = %hold.whom, "hosts held");
        let detail = json!({ "reason": hold.reason });
        self.note(AuditAction::HostsHeld, &hold.whom.to_string(), detail).await;
        Ok(shown(hold))
    }

    /// Releases hosts that were held by exactly this.
    ///
    /// # Errors
    /// When there is no such host, or nothing holds them.
    pub async fn release(&self, whom: &Whom) -> Result<(), AppError> {
        self.store.release_hold(whom).await?;
        tracing::info!(%whom, "hosts released");
        self.note(AuditAction::HostsReleased, &whom.to_string(), json!({})).await;
        Ok(())
    }

    /// What is held.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn holds(&self) -> Result<HoldList, AppError> {
        let mut found = self.store.holds(LARGEST_PAGE + 1).await?;
        let is_cut = cut(&mut found, LARGEST_PAGE);
        Ok(HoldList { holds: found.into_iter().map(shown).collect(), is_cut })
    }
}

pub(super) fn shown(record: HoldRecord) -> Hold {
    Hold { whom: record.whom, reason: record.reason, made_at: record.made_at }
}
