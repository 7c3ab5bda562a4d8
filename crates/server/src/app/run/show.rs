//! What a run looks like from outside.

use elivepatch_api::{RunCve, RunResource, RunSummary};
use elivepatch_model::{RunNumber, Sha256Digest};
use elivepatch_store::{AuditAction, RunCveRecord, RunRecord};
use serde_json::json;

use super::progress::{Asked, Progress, read};
use crate::app::{App, AppError, Caller, now};

impl App {
    /// A run with its CVEs.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn run(&self, number: RunNumber) -> Result<RunResource, AppError> {
        let record = self.store().run(number).await?;
        let cves = self.store().run_cves(number).await?;
        Ok(resource(record, cves)?)
    }

    /// A run without its CVEs.
    ///
    /// # Errors
    /// As [`App::run`].
    pub async fn run_in_short(&self, number: RunNumber) -> Result<RunResource, AppError> {
        let mut run = self.run(number).await?;
        run.cves.clear();
        Ok(run)
    }

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn runs(&self) -> Result<Vec<RunSummary>, AppError> {
        let summary = |run: RunRecord| RunSummary {
            number: run.number,
            state: run.state,
            release: run.release,
            livepatch: run.livepatch,
            submitted_at: run.submitted_at,
            finished_at: run.finished_at,
        };
        Ok(self.store().runs().await?.into_iter().map(summary).collect())
    }

    /// Cancels a run that is not finished.
    ///
    /// # Errors
    /// When there is none, or it is finished.
    pub async fn cancel_run(
        &self,
        caller: &Caller,
        number: RunNumber,
    ) -> Result<RunResource, AppError> {
        let probes = self.store().cancel_run(number, now()).await?;
        tracing::info!(run = %number, by = caller.actor(), "CVE run cancelled");
        self.probes_ended(&probes);
        let subject = format!("run {number}");
        self.note(caller, AuditAction::RunCancelled, &subject, json!({})).await;
        self.run(number).await
    }
}

fn resource(
    record: RunRecord,
    cves: Vec<RunCveRecord>,
) -> Result<RunResource, elivepatch_store::StoreError> {
    let asked: Asked = read(&record.request, &record)?;
    let progress: Progress = read(&record.progress, &record)?;
    let (to_try, tried) = progress.tried();
    let counts = progress.counts(&cves);
    let outcome_digest = outcome_digest(&record, &cves);
    let is_finished = record.state.is_finished();
    let grounds = match &record.grounds {
        Some(renewed) => read(renewed, &record)?,
        None => progress.grounds,
    };
    Ok(RunResource {
        number: record.number,
        state: record.state,
        target: asked.request.target,
        selection: asked.request.selection,
        kept: asked.kept,
        grounds,
        activity: (!is_finished).then_some(progress.activity),
        to_try,
        tried,
        counts,
        cves: cves
            .into_iter()
            .map(|RunCveRecord { title, cvss, result }| RunCve { result, title, cvss })
            .collect(),
        livepatch: record.livepatch,
        failure: record.failure,
        outcome_digest,
        submitted_at: record.submitted_at,
        finished_at: record.finished_at,
    })
}

/// A digest of the verdicts and of the livepatch.
fn outcome_digest(record: &RunRecord, cves: &[RunCveRecord]) -> Sha256Digest {
    let mut text = format!("{} {:?}\n", record.state, record.livepatch);
    // The order is that of scores, which may change without any news; what is not in the kernel is none.
    let mut cves: Vec<&RunCveRecord> = cves.iter().collect();
    cves.retain(|cve| cve.result.outcome.is_some());
    cves.sort_by_key(|cve| cve.result.id);
    for cve in cves {
        let class = cve.result.outcome.as_ref().and_then(|outcome| outcome.failure());
        let class = class.map_or("", |failure| failure.class.as_str());
        text.push_str(&format!("{} {} {class}\n", cve.result.id, cve.result.verdict()));
    }
    Sha256Digest::of(text.as_bytes())
}
