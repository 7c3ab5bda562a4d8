use elivepatch_api::{HostChange, HostOrder, HostReport};
use elivepatch_model::{HostName, LoadedLivepatch, MachineFacts, TargetFacts, printable};
use elivepatch_store::{AuditAction, ReportedHost};
use serde_json::json;

use super::{Fleet, changes::changes, form::checked, order::order};
use crate::app::{App, AppError, access::note, now};

impl App {
    /// Takes a host's report, and says what the host is to do.
    ///
    /// # Errors
    /// When no such host is registered, or the report cannot be one.
    pub async fn report(&self, name: &HostName, report: HostReport) -> Result<HostOrder, AppError> {
        self.fleet().report(name, report).await
    }
}

impl Fleet {
    /// Takes a host's report, and says what the host is to do.
    ///
    /// # Errors
    /// When no such host is registered, or the report cannot be one.
    pub async fn report(&self, name: &HostName, report: HostReport) -> Result<HostOrder, AppError> {
        let report = checked(report)?;
        let kernel = self.kernel(&report).await?;
        let body = body(&report);
        let told = ReportedHost {
            name,
            kernel: &kernel,
            state: report.state.as_str(),
            uptime_seconds: report.uptime_seconds,
            livepatch: report.livepatch.as_ref().map(|livepatch| livepatch.digest),
            body: &body,
        };
        let mut happened = Vec::new();
        let notice = |before: Option<&str>| {
            let before = before.and_then(|text| read(name, text));
            let found = changes(before.as_ref(), &report);
            let events = found.iter().map(|change| noted(name, change)).collect();
            happened = found;
            events
        };
        let grounds = self.store.record_report(&told, now(), notice).await?;
        self.note_changes(name, &happened).await;
        let order = order(&report, &grounds);
        tracing::debug!(host = %name, ?order, "host reported");
        Ok(HostOrder { order, report_after_seconds: self.report_seconds.into() })
    }

    /// Writes down which livepatches came and went.
    async fn note_changes(&self, name: &HostName, changes: &[HostChange]) {
        let subject = format!("host {name}");
        for change in changes {
            let (action, name, digest) = match change {
                HostChange::Loaded { name, digest } => (AuditAction::LivepatchLoaded, name, digest),
                HostChange::TakenBack { name, digest } => {
                    (AuditAction::LivepatchTakenBack, name, digest)
                }
                _ => continue,
            };
            // What no server knows is a host's word alone, and may be another one each time: it stands with the host.
            match self.store.build_that_made(*digest).await {
                Ok(Some(_)) => {}
                Ok(None) => continue,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "cannot tell whose livepatch a host has");
                }
            }
            let detail = json!({ "livepatch": name, "digest": digest });
            note(&self.store, &subject, action, &subject, detail).await;
        }
    }

    /// What is known of a host's kernel and of what is active on it. An agent that cannot read what is loaded still
    /// knows its own livepatch; which module that is, this server knows when it made it.
    async fn kernel(&self, report: &HostReport) -> Result<TargetFacts, AppError> {
        let mut kernel = report.target.as_assessed();
        let is_told = kernel.machine.as_ref().is_some_and(|machine| machine.livepatches.is_some());
        let own = report.livepatch.as_ref().filter(|livepatch| livepatch.active && !is_told);
        if let Some(own) = own
            && let Some(build_id) = self.store.module_build_id(own.digest).await?
        {
            let (name, build_id) = (own.name.clone(), Some(build_id));
            let livepatches = Some(vec![LoadedLivepatch { name, build_id, active: true }]);
            let machine = kernel.machine.take().unwrap_or_default();
            kernel.machine = Some(MachineFacts { livepatches, ..machine });
        }
        Ok(kernel)
    }
}

/// A report as it is kept: what differs every time is beside it.
fn body(report: &HostReport) -> String {
    let steady = HostReport { uptime_seconds: 0, ..report.clone() };
    serde_json::to_string(&steady).expect("a report has a JSON form")
}

/// Reads a report that was kept.
pub(super) fn read(name: &HostName, text: &str) -> Option<HostReport> {
    // That of another version of this program may have another form: the next report takes its place.
    serde_json::from_str(text)
        .inspect_err(|error| tracing::warn!(host = %name, %error, "a kept report cannot be read"))
        .ok()
}

/// An event as it is kept; also for the log.
fn noted(name: &HostName, change: &HostChange) -> String {
    let text = serde_json::to_string(change).expect("an event has a JSON form");
    tracing::info!(host = %name, change = printable(&text), "host changed");
    text
}
