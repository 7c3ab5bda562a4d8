use elivepatch_api::{
    Assignment, AssignmentAnswer, AssignmentList, AssignmentRequest, NewestFirstQuery,
};
use elivepatch_model::Whom;
use elivepatch_store::{AssignmentRecord, AuditAction, NewAssignment};
use serde_json::json;

use super::{Fleet, checked_note, cut, page};
use crate::app::{AppError, now};

impl Fleet {
    /// Assigns the livepatch of a build. The same once more counts as the newest.
    ///
    /// # Errors
    /// When the build has no livepatch, its module is gone, it was withdrawn, or there is no such host.
    pub async fn assign(&self, request: AssignmentRequest) -> Result<AssignmentAnswer, AppError> {
        checked_note("note", &request.note)?;
        let AssignmentRequest { build, whom, note } = request;
        let new = NewAssignment { build, whom, note };
        let made = self.store.build(build).await?;
        if made.options.stack {
            return Err(AppError::bad_request(
                format!("the livepatch of build {build} loads beside others and replaces none"),
                "order it without options.stack: what hosts are assigned replaces all others",
            ));
        }
        if made.manifest.is_some() && !self.store.has_livepatch(build).await? {
            return Err(AppError::ModuleGone { number: build });
        }
        let made = self.store.assign(&new, now()).await?;
        let (all, hosts) = self.store.reach(&made).await?;
        let mut notes = Vec::new();
        match &made.whom {
            Whom::Tag(tag) if all == 0 => {
                notes.push(format!("no host has the tag {tag} yet; those that get it are told"));
            }
            Whom::All if all == 0 => {
                notes.push("no host is registered yet; those that come are told".to_owned());
            }
            whom if hosts == 0 => notes.push(format!(
                "{whom}: none runs the kernel {} that it is for; who is started with it is told",
                made.release
            )),
            _ => {}
        }
        if made.build_id.is_none() {
            notes.push(format!(
                "it is not known which build-id the kernel has: all with the release {} are told, and each \
                 compares before it loads",
                made.release
            ));
        }
        let detail =
            json!({ "to": made.whom.to_string(), "assignment": made.id, "note": made.note });
        self.note(AuditAction::LivepatchAssigned, &format!("build {}", made.build), detail).await;
        tracing::info!(build = %made.build, whom = %made.whom, assignment = made.id, "livepatch assigned");
        Ok(AssignmentAnswer { assignment: shown(made), hosts, notes })
    }

    /// Takes an assignment away. What hosts have loaded by it stays loaded.
    ///
    /// # Errors
    /// When there is none with this id.
    pub async fn unassign(&self, id: i64) -> Result<(), AppError> {
        self.store.unassign(id).await?;
        let subject = format!("assignment {id}");
        self.note(AuditAction::AssignmentRemoved, &subject, json!({})).await;
        tracing::info!(assignment = id, "assignment taken away");
        Ok(())
    }

    /// A page of assignments, newest first.
    ///
    /// # Errors
    /// When the limit is out of range.
    pub async fn assignments(&self, query: NewestFirstQuery) -> Result<AssignmentList, AppError> {
        let limit = page(query.limit)?;
        let mut found = self.store.assignments(query.before, limit + 1).await?;
        let is_cut = cut(&mut found, limit);
        let next = found.last().map(|assignment| assignment.id).filter(|_| is_cut);
        Ok(AssignmentList { assignments: found.into_iter().map(shown).collect(), next })
    }
}

fn shown(record: AssignmentRecord) -> Assignment {
    Assignment {
        id: record.id,
        build: record.build,
        whom: record.whom,
        architecture: record.architecture,
        release: record.release,
        build_id: record.build_id,
        digest: record.module,
        note: record.note,
        made_at: record.made_at,
        is_withdrawn: record.is_withdrawn,
    }
}
