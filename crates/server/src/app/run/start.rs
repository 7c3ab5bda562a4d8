//! Beginning a run, or joining an equal one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use elivepatch_api::{AssessmentRequest, RunRequest, RunSubmission};
use elivepatch_cve::{CveId, Fixes, Outcome};
use elivepatch_model::{Fix, RunNumber, Sha256Digest, TargetFacts};
use elivepatch_store::{KeptBlob, NewRun, RunCveRecord};
use serde::Serialize;

use super::{
    plan::{Planned, is_chosen},
    progress::{Asked, KeptState, Progress, write},
};
use crate::app::{App, AppError, now, texts::GivenTexts};

/// How long an answer is good that lacks fixes which no source had.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The most CVEs that a selection may name.
const MOST_SELECTED: usize = 20_000;

/// All that decides what comes of a run.
#[derive(Serialize)]
struct Key<'a> {
    asked: &'a Asked,
    config: Option<Sha256Digest>,
    kallsyms: Option<Sha256Digest>,
    builder: &'a str,
    policy: &'a str,
    /// It depends on the machine's distribution.
    is_upper_bound: bool,
    cves: Vec<KeyCve<'a>>,
}

/// What of a CVE decides. Neither what the feed says beside, nor which modules a machine has loaded, nor which
/// texts were fetched already: what is not at hand is fetched.
#[derive(Serialize)]
struct KeyCve<'a> {
    id: CveId,
    /// What is to be done about it, as far as that is known without its patches.
    outcome: Option<&'static str>,
    /// The commits of its fix in the kernel's branch.
    commits: Vec<&'a str>,
    /// The patches that a person chose instead.
    chosen: Vec<Sha256Digest>,
}

impl<'a> KeyCve<'a> {
    fn of(record: &'a RunCveRecord) -> Self {
        let result = &record.result;
        let commits = match result.applicability.fixes() {
            Some(Fixes::OwnBranch(commits)) => {
                commits.iter().map(|commit| commit.hash.as_str()).collect()
            }
            _ => Vec::<&str>::new(),
        };
        let chosen = result.fixes.iter().filter(|fix| is_chosen(&fix.commit));
        let chosen = chosen.map(|fix| fix.digest).collect();
        let outcome = match &result.outcome {
            // By its files, which are known when it was fetched; the policy itself is in the key.
            Some(Outcome::Denied { .. }) if !commits.is_empty() => Some(Outcome::Waiting.verdict()),
            outcome => outcome.as_ref().map(Outcome::verdict),
        };
        Self { id: result.id, outcome, commits, chosen }
    }
}

impl App {
    /// Begins a run, or joins an equal one that is under way or finished.
    ///
    /// # Errors
    /// When the request cannot be served: no feed, no version, no config of a kernel that is not a
    /// stock one; or the store fails.
    pub(in crate::app) async fn start_run(
        &self,
        request: RunRequest,
        given: GivenTexts,
    ) -> Result<RunSubmission, AppError> {
        let selection = &request.selection;
        if selection.only.len() + selection.exclude.len() > MOST_SELECTED {
            return Err(AppError::bad_request(
                format!("the selection names more than {MOST_SELECTED} CVEs"),
                "name fewer, or select by severity",
            ));
        }
        if selection.severity.is_some_and(|score| !(0.0..=10.0).contains(&score)) {
            return Err(AppError::bad_request(
                "severity is not a CVSS score",
                "send a number from 0.0 to 10.0",
            ));
        }
        // A run makes the whole livepatch, whatever is loaded: the new one replaces what is there.
        if let Some(id) = self.unknown_cve(&selection.only).await? {
            return Err(AppError::bad_request(
                format!("the server's feed has no {id}"),
                "look whether it is one of the kernel's, and how old the feed is",
            ));
        }
        let assessment = AssessmentRequest {
            target: request.target.clone().without_livepatches(),
            linux_version: request.linux_version.clone(),
            explain: Vec::new(),
        };
        let assessed = self.assess(assessment).await?;
        let Planned { cves, unfetched, grounds, rest } = self.plan_run(&request, assessed).await?;
        let GivenTexts { config, kallsyms, baseline, patches } = given;
        let (records, mut uploads): (Vec<_>, Vec<_>) = baseline.into_iter().unzip();
        let (kept, mut of_kept): (Vec<_>, Vec<_>) = patches.into_iter().unzip();
        uploads.append(&mut of_kept);
        let identity = &self.inner.options.builder_identity;
        let use_of_symbols = identity.use_of_symbols(&request.target, !records.is_empty());
        let kallsyms = use_of_symbols.kept(kallsyms);
        let builder = identity.of_builds_for(&request.target.release);
        let again = request.again;
        let request = RunRequest { again: false, ..request };
        let asked = Asked { request, baseline: records, kept };
        let config_meaning = config.as_ref().map(|config| config.meaning);
        // What else is known of the machine decides nothing but what the CVEs are to it: machines with the
        // same kernel share a run, and one whose modules come and go joins its own.
        let deciding = Asked {
            request: RunRequest {
                target: TargetFacts { machine: None, ..asked.request.target.clone() },
                ..asked.request.clone()
            },
            ..asked.clone()
        };
        let key = Key {
            asked: &deciding,
            config: config_meaning,
            kallsyms: use_of_symbols
                .in_key(kallsyms.as_ref().map(elivepatch_store::UploadedBlob::digest)),
            builder: &builder,
            policy: &format!("{:?}", self.inner.options.cve.policy),
            is_upper_bound: grounds.is_upper_bound,
            cves: cves.iter().map(KeyCve::of).collect(),
        };
        let key = Sha256Digest::of(write(&key).as_bytes());
        let store = self.store();
        let config = match config {
            Some(config) => Some(store.keep_blob(config.upload).await?),
            None => None,
        };
        let kallsyms = match kallsyms {
            Some(upload) => Some(store.keep_blob(upload).await?),
            None => None,
        };
        let mut patches: Vec<KeptBlob> = Vec::with_capacity(uploads.len());
        for upload in uploads {
            patches.push(store.keep_blob(upload).await?);
        }
        let progress = Progress {
            grounds: grounds.clone(),
            rest,
            config_meaning,
            unfetched,
            kept: KeptState::Waiting,
            units: Vec::new(),
            combination: None,
            earlier: None,
            over_limits: BTreeMap::new(),
            under_way: None,
            activity: "begins".to_owned(),
        };
        let new = NewRun {
            key,
            release: asked.request.target.release.clone(),
            config,
            kallsyms,
            patches,
            request: write(&asked),
            progress: write(&progress),
            cves,
        };
        // The run is about to rest on the texts of its fixes.
        self.fixes_on_disk().await?;
        let (mut number, mut joined) = store.begin_run(&new, again, now()).await?;
        if joined && !self.is_still_good(number, &new.cves).await? {
            (number, joined) = store.begin_run(&new, true, now()).await?;
        }
        if joined {
            // The answer is as fresh as the feed is now.
            store.renew_grounds(number, &write(&grounds)).await?;
        } else {
            let cves = new.cves.len();
            tracing::info!(run = %number, release = %new.release, cves, "CVE run begins");
            self.wakeups().run_changed();
        }
        Ok(RunSubmission { run: self.run(number).await?, joined })
    }

    /// Whether a run that is there answers a request still: its livepatch can be had, and so can none of the
    /// fixes that could not be had then. What the sources did not have is asked for again after a time.
    async fn is_still_good(
        &self,
        number: RunNumber,
        planned: &[RunCveRecord],
    ) -> Result<bool, AppError> {
        let run = self.store().run(number).await?;
        let Some(finished_at) = run.finished_at else { return Ok(true) };
        if let Some(build) = run.livepatch
            && !self.store().has_livepatch(build).await?
        {
            return Ok(false);
        }
        let is_missing =
            |cve: &RunCveRecord| matches!(cve.result.outcome, Some(Outcome::FixUnavailable { .. }));
        let cves = self.store().run_cves(number).await?;
        let missing: BTreeSet<CveId> =
            cves.iter().filter(|cve| is_missing(cve)).map(|cve| cve.result.id).collect();
        let is_there_now =
            |cve: &RunCveRecord| !cve.result.fixes.is_empty() && missing.contains(&cve.result.id);
        let is_old = now().duration_since(finished_at).unsigned_abs() > ASK_AGAIN_AFTER;
        Ok(!planned.iter().any(is_there_now) && (missing.is_empty() || !is_old))
    }
}

/// The name of a patch in builds and manifests: the CVE, and the commit or what it is instead.
pub(super) fn patch_name(cve: &RunCveRecord, commit: &str) -> String {
    let short = commit.get(..12).unwrap_or(commit);
    format!("{}-{short}.patch", cve.result.id)
}

/// A patch of a fix under the name of its CVE.
pub(super) fn named_fix(cve: &RunCveRecord, commit: &str, digest: Sha256Digest) -> Fix {
    Fix { name: patch_name(cve, commit), digest }
}
