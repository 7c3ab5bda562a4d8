use elivepatch_api::{AuditEntry, AuditLog, AuditQuery};
use elivepatch_store::{AuditAction, AuditFilter, NewAudit, Store};
use serde_json::{Value, json};

use super::Caller;
use crate::app::{App, AppError, now};

/// Entries on a page when the query does not say.
const DEFAULT_PAGE: u32 = 100;
/// Entries on a page at most.
const LARGEST_PAGE: u32 = 500;

impl App {
    /// A page of the audit log, the newest entry first.
    ///
    /// # Errors
    /// When the limit is out of range.
    pub async fn audit_log(&self, query: &AuditQuery) -> Result<AuditLog, AppError> {
        let limit = query.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(AppError::bad_request(
                format!("limit is {limit}, but it must be 1 to {LARGEST_PAGE}"),
                "take smaller pages, and the next one with before=NEXT",
            ));
        }
        let filter = AuditFilter { since: query.since, before: query.before };
        // One more than asked for tells whether there is a next page.
        let mut records = self.store().audit_log(filter, limit + 1).await?;
        let more = records.len() > limit as usize;
        records.truncate(limit as usize);
        let next = records.last().map(|record| record.number).filter(|_| more);
        let entries = records.into_iter().map(|record| AuditEntry {
            number: record.number,
            at: record.at,
            actor: record.actor,
            action: record.action,
            subject: record.subject,
            detail: record.detail,
        });
        Ok(AuditLog { entries: entries.collect(), next })
    }

    /// Writes down what somebody did. It is done by then, so a failure is told in the log only.
    pub(crate) async fn note(
        &self,
        caller: &Caller,
        action: AuditAction,
        subject: &str,
        detail: Value,
    ) {
        note(self.store(), &caller.actor(), action, subject, detail).await;
    }

    /// Writes down that somebody ordered something. One that joins what is there, as a client does that asks every
    /// hour, is written down the first time.
    pub(crate) async fn note_order(
        &self,
        caller: &Caller,
        action: AuditAction,
        subject: &str,
        joined: bool,
        mut detail: Value,
    ) {
        detail["joined"] = json!(joined);
        let often = if joined { Often::Once } else { Often::EachTime };
        write_down(self.store(), &caller.actor(), action, subject, detail, often).await;
    }

    /// Writes down that somebody asked for what his role does not allow; again only after a while.
    pub(crate) async fn note_refusal(
        &self,
        caller: &Caller,
        method: &str,
        route: &str,
        path: &str,
        needed: &str,
    ) {
        let subject = format!("{method} {route}");
        if !self.inner.refusals.is_first(&caller.actor(), &subject) {
            return;
        }
        let path: String = path.chars().take(200).collect();
        let detail = json!({ "path": path, "role": caller.role, "needed": needed });
        self.note(caller, AuditAction::RequestRefused, &subject, detail).await;
    }
}

/// Writes down what somebody did. It is done by then, so a failure is told in the log only.
pub(in crate::app) async fn note(
    store: &Store,
    actor: &str,
    action: AuditAction,
    subject: &str,
    detail: Value,
) {
    write_down(store, actor, action, subject, detail, Often::EachTime).await;
}

/// How often one and the same thing is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Often {
    EachTime,
    Once,
}

/// In a task of its own, for what somebody did is to be in the log also when he hangs up while it waits for the
/// database.
async fn write_down(
    store: &Store,
    actor: &str,
    action: AuditAction,
    subject: &str,
    detail: Value,
    often: Often,
) {
    let (store, actor, subject) = (store.clone(), actor.to_owned(), subject.to_owned());
    let writing = tokio::spawn(async move {
        let entry = NewAudit { at: now(), actor: &actor, action, subject: &subject, detail };
        let noted = match often {
            Often::EachTime => store.audit(&entry).await,
            Often::Once => store.audit_once(&entry).await,
        };
        if let Err(error) = noted {
            let error: &dyn std::error::Error = &error;
            let action = action.as_str();
            tracing::error!(error, actor, action, subject, "the audit log lacks this");
        }
    });
    if let Err(error) = writing.await {
        tracing::error!(%error, "the audit log lacks something");
    }
}
