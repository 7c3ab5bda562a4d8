//! What is to be done about each CVE of a run.

use std::collections::BTreeMap;

use elivepatch_api::{AssessedCve, AssessmentResource, CHOSEN_FIXES, RunGrounds, RunRequest};
use elivepatch_cve::{Applicability, CveResult, FixRecord, Fixes, LinuxVersion, Outcome};
use elivepatch_store::{RunCveRecord, StoreError};

use crate::app::{App, AppError, fixes::FoundFix};

/// What stands for the commit of a patch that an administrator approved.
const APPROVED: &str = CHOSEN_FIXES[0];
/// What stands for the commit of a patch of a livepatch-overlay.
const OVERLAY: &str = CHOSEN_FIXES[1];

/// Whether a patch was chosen by a person, and is no commit's.
pub(super) fn is_chosen(commit: &str) -> bool {
    commit == APPROVED || commit == OVERLAY
}

/// What is known of a run before anything is fetched or built.
pub(super) struct Planned {
    /// The CVEs that may matter, the worst first.
    pub cves: Vec<RunCveRecord>,
    /// Those whose fixes are to be fetched, by their positions.
    pub unfetched: Vec<usize>,
    /// What the answers rest on.
    pub grounds: RunGrounds,
    /// How many CVEs there are with each verdict of those that do not matter.
    pub rest: BTreeMap<String, u64>,
}

impl App {
    /// Decides about each CVE as far as that can be done without fetching anything.
    pub(super) async fn plan_run(
        &self,
        request: &RunRequest,
        assessed: AssessmentResource,
    ) -> Result<Planned, AppError> {
        let version: Option<LinuxVersion> = assessed.linux_version.parse().ok();
        let mut rest = assessed.counts;
        let mut cves = Vec::with_capacity(assessed.cves.len());
        let mut unfetched = Vec::new();
        for cve in assessed.cves {
            let verdict = cve.applicability.verdict();
            if let Some(count) = rest.get_mut(verdict) {
                *count = count.saturating_sub(1);
            }
            let mut record = self.record(request, cve);
            if record.result.outcome == Some(Outcome::Waiting) {
                self.plan_fix(&mut record, version).await?;
            }
            if record.result.outcome == Some(Outcome::Waiting) && record.result.fixes.is_empty() {
                unfetched.push(cves.len());
            }
            cves.push(record);
        }
        rest.retain(|_, count| *count > 0);
        let grounds = RunGrounds {
            linux_version: assessed.linux_version,
            version_origin: assessed.version_origin,
            is_upper_bound: assessed.is_upper_bound,
            base: assessed.base,
            base_doubt: assessed.base_doubt,
            feed_data_at: assessed.feed_data_at,
            feed_read_at: assessed.feed_read_at,
            feed_is_stale: assessed.feed_is_stale,
            faulty: assessed.faulty,
        };
        Ok(Planned { cves, unfetched, grounds, rest })
    }

    /// A CVE as it is before its fix is looked for.
    fn record(&self, request: &RunRequest, cve: AssessedCve) -> RunCveRecord {
        let AssessedCve { id, title, cvss, applicability, .. } = cve;
        let selection = &request.selection;
        let score = cvss.as_ref().map(|cvss| cvss.score);
        let is_wanted = (selection.only.is_empty() || selection.only.contains(&id))
            && !selection.exclude.contains(&id)
            && selection.severity.is_none_or(|least| score.is_none_or(|score| score >= least));
        let outcome = match &applicability {
            Applicability::Candidate { .. } | Applicability::NotLoaded { .. } if !is_wanted => {
                Some(Outcome::LeftOut)
            }
            Applicability::Candidate { .. } | Applicability::NotLoaded { .. } => {
                Some(Outcome::Waiting)
            }
            _ => None,
        };
        let result = CveResult {
            id,
            applicability,
            outcome,
            fixes: Vec::new(),
            probe: None,
            probe_seconds: None,
        };
        RunCveRecord { title, cvss, result }
    }

    /// Takes what is at hand of a CVE's fix: what an administrator approved first, then that of the
    /// kernel's own branch, then that of an overlay.
    async fn plan_fix(
        &self,
        record: &mut RunCveRecord,
        version: Option<LinuxVersion>,
    ) -> Result<(), AppError> {
        let id = record.result.id;
        match self.approved_fix(id).await {
            Ok(None) => {}
            Ok(Some(found)) => {
                self.take_fix(record, vec![(APPROVED.to_owned(), None, found)], true);
                return Ok(());
            }
            // The others go on without it.
            Err(AppError::Store(StoreError::Corrupt { what, .. })) => {
                let reason = format!("{what}: approve it again, or withdraw it");
                record.result.outcome =
                    Some(Outcome::FixUnavailable { reason, is_transient: false });
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let own = match record.result.applicability.fixes() {
            Some(Fixes::OwnBranch(commits)) => commits.clone(),
            _ => Vec::new(),
        };
        if own.is_empty() {
            let overlay = match version {
                Some(version) => self.overlay_fix(id, version).await?,
                None => None,
            };
            let has_mainline =
                matches!(record.result.applicability.fixes(), Some(Fixes::MainlineOnly(_)));
            match overlay {
                Some(found) => self.take_fix(record, vec![(OVERLAY.to_owned(), None, found)], true),
                None if has_mainline => record.result.outcome = Some(Outcome::NeedsApproval),
                None => record.result.outcome = Some(Outcome::NoFix),
            }
            return Ok(());
        }
        // What the policy says of a CVE by its name needs no patch.
        if let Some(rule) = self.inner.options.cve.policy.denies(id, &[], false) {
            record.result.outcome = Some(Outcome::Denied { rule });
            return Ok(());
        }
        let mut patches = Vec::with_capacity(own.len());
        for commit in &own {
            match self.fix_at_hand(&commit.hash).await? {
                Some(found) => patches.push((commit.hash.clone(), Some(commit.version), found)),
                None => return Ok(()),
            }
        }
        self.take_fix(record, patches, false);
        Ok(())
    }

    /// Notes the patches of a CVE's fix, unless the policy is against it.
    pub(super) fn take_fix(
        &self,
        record: &mut RunCveRecord,
        patches: Vec<(String, Option<LinuxVersion>, FoundFix)>,
        is_approved: bool,
    ) {
        let mut files: Vec<String> = Vec::new();
        let mut fixes = Vec::with_capacity(patches.len());
        for (commit, version, found) in patches {
            files.extend(found.files);
            let (digest, source) = (found.blob.digest, found.source);
            fixes.push(FixRecord { commit, version, digest, source });
        }
        record.result.fixes = fixes;
        if let Some(rule) =
            self.inner.options.cve.policy.denies(record.result.id, &files, is_approved)
        {
            record.result.outcome = Some(Outcome::Denied { rule });
        }
    }
}
