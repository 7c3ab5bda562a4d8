use elivepatch_api::{BuildList, BuildResource, BuildSummary, FailureSummary, ListBuildsQuery};
use elivepatch_model::BuildNumber;
use elivepatch_store::{AuditAction, BuildFilter, BuildRecord, BuildSummaryRecord};
use serde_json::json;

use super::{App, AppError, Caller, now};

/// Builds on a page when the query does not say.
const DEFAULT_PAGE: u32 = 50;
/// Builds on a page at most.
const LARGEST_PAGE: u32 = 200;

impl App {
    /// The build with this number.
    ///
    /// # Errors
    /// When there is none.
    pub async fn build(&self, number: BuildNumber) -> Result<BuildResource, AppError> {
        Ok(resource(self.store().build(number).await?))
    }

    /// A page of builds, newest first.
    ///
    /// # Errors
    /// When the limit is out of range.
    pub async fn builds(&self, query: &ListBuildsQuery) -> Result<BuildList, AppError> {
        let limit = query.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(AppError::bad_request(
                format!("limit is {limit}, but it must be 1 to {LARGEST_PAGE}"),
                "take smaller pages, and the next one with before=NEXT",
            ));
        }
        let filter = BuildFilter { state: query.state, before: query.before };
        // One more than asked for tells whether there is a next page.
        let mut records = self.store().builds(filter, limit + 1).await?;
        let more = records.len() > limit as usize;
        records.truncate(limit as usize);
        let next = records.last().map(|record| record.number).filter(|_| more);
        Ok(BuildList { builds: records.into_iter().map(summary).collect(), next })
    }

    /// Cancels a build that waits or runs.
    ///
    /// # Errors
    /// When there is none, or it is finished.
    pub async fn cancel(
        &self,
        caller: &Caller,
        number: BuildNumber,
    ) -> Result<BuildResource, AppError> {
        self.store().cancel(number, now()).await?;
        tracing::info!(build = %number, by = caller.actor(), "build cancelled");
        let subject = format!("build {number}");
        self.note(caller, AuditAction::BuildCancelled, &subject, json!({})).await;
        self.wakeups().build_changed(number);
        self.build(number).await
    }
}

fn summary(record: BuildSummaryRecord) -> BuildSummary {
    BuildSummary {
        number: record.number,
        key: record.key,
        state: record.state,
        release: record.release,
        fixes: record.fixes,
        attempts: record.attempts,
        submitted_at: record.submitted_at,
        started_at: record.started_at,
        finished_at: record.finished_at,
        failure: record.failure.map(|(class, message)| FailureSummary { class, message }),
    }
}

pub(super) fn resource(record: BuildRecord) -> BuildResource {
    BuildResource {
        number: record.number,
        key: record.key,
        state: record.state,
        target: record.target,
        config: record.config,
        kallsyms: record.kallsyms,
        baseline: record.baseline,
        fixes: record.fixes,
        checks: record.checks,
        options: record.options,
        rebuild: record.rebuild,
        steps: record.steps,
        attempts: record.attempts,
        submitted_at: record.submitted_at,
        started_at: record.started_at,
        finished_at: record.finished_at,
        failure: record.failure,
        manifest: record.manifest,
        probe: record.probe,
    }
}
