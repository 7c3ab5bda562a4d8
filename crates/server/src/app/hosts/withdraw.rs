use elivepatch_api::{
    NewestFirstQuery, Withdrawal, WithdrawalAnswer, WithdrawalList, WithdrawalRequest,
};
use elivepatch_model::BuildNumber;
use elivepatch_store::{AuditAction, WithdrawalRecord};
use serde_json::json;

use super::{Fleet, checked_note, cut, page};
use crate::app::{AppError, now};

impl Fleet {
    /// Withdraws the livepatch of a build: hosts that run it take it back at once, and none loads it. Withdrawing
    /// it again changes the reason.
    ///
    /// # Errors
    /// When the build has no livepatch, or the reason is too long.
    pub async fn withdraw(&self, request: WithdrawalRequest) -> Result<WithdrawalAnswer, AppError> {
        checked_note("reason", &request.reason)?;
        let WithdrawalRequest { build, reason } = request;
        let (record, hosts) = self.store.withdraw(build, &reason, now()).await?;
        tracing::info!(%build, hosts, "livepatch withdrawn");
        let detail = json!({ "reason": record.reason, "hosts": hosts });
        self.note(AuditAction::LivepatchWithdrawn, &format!("build {build}"), detail).await;
        Ok(WithdrawalAnswer { withdrawal: shown(record), hosts })
    }

    /// Lets hosts run a livepatch again that was withdrawn; what is assigned of it counts again.
    ///
    /// # Errors
    /// When it was not withdrawn.
    pub async fn allow(&self, build: BuildNumber) -> Result<(), AppError> {
        self.store.allow(build).await?;
        tracing::info!(%build, "livepatch allowed again");
        self.note(AuditAction::LivepatchAllowed, &format!("build {build}"), json!({})).await;
        Ok(())
    }

    /// A page of withdrawals, those of the newest builds first.
    ///
    /// # Errors
    /// When the limit is out of range.
    pub async fn withdrawals(&self, query: NewestFirstQuery) -> Result<WithdrawalList, AppError> {
        let limit = page(query.limit)?;
        let before = query.before.map(BuildNumber);
        let mut found = self.store.withdrawals(before, limit + 1).await?;
        let is_cut = cut(&mut found, limit);
        let next = found.last().map(|withdrawal| withdrawal.build.0).filter(|_| is_cut);
        Ok(WithdrawalList { withdrawals: found.into_iter().map(shown).collect(), next })
    }
}

fn shown(record: WithdrawalRecord) -> Withdrawal {
    let WithdrawalRecord { build, module, reason, made_at } = record;
    Withdrawal { build, digest: module, reason, made_at }
}
