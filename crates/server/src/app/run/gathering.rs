//! The first part of a run: the config and the texts of the fixes.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use elivepatch_cve::{Fixes, LinuxVersion, Outcome};
use elivepatch_model::{Failure, FailureClass, RunState, Sha256Digest, with_causes};

use super::{
    advance::Run,
    progress::{Unit, UnitState},
    start::named_fix,
    verdict::outcome,
};
use crate::app::{App, AppError, fixes::FixMissing};

/// How long to fetch before it is written down how far that is: a server may need a second for each fix,
/// and whoever watches or cancels the run is not to wait for longer.
const KEEP_AFTER: Duration = Duration::from_secs(1);

impl App {
    /// Fetches the config, or some of the fixes; when all are there, goes on to trying them.
    pub(super) async fn gather(&self, run: &mut Run) -> Result<(), AppError> {
        if run.progress.config_meaning.is_none() {
            run.progress.activity = "getting the config of the stock kernel".to_owned();
            return self.gather_config(run).await;
        }
        if !run.progress.unfetched.is_empty() {
            let began = Instant::now();
            while began.elapsed() < KEEP_AFTER
                && let Some(position) = run.progress.unfetched.pop()
            {
                self.gather_fix(run, position).await;
            }
            let left = run.progress.unfetched.len();
            run.progress.activity = format!("fetching fixes: {left} to go");
            return Ok(());
        }
        // Builds are about to rest on them.
        self.fixes_on_disk().await?;
        let lost = self.lost_fixes(run).await?;
        if !lost.is_empty() {
            run.progress.activity = format!("fetching fixes again: {} to go", lost.len());
            run.progress.unfetched = lost;
            return Ok(());
        }
        run.progress.units = units(run);
        run.state = RunState::Trying;
        run.progress.activity = "trying each fix alone".to_owned();
        Ok(())
    }

    /// The positions of CVEs with a fix of their own branch whose text is not kept: where the disk failed while it
    /// was written for somebody else, nobody told this run.
    async fn lost_fixes(&self, run: &Run) -> Result<Vec<usize>, AppError> {
        let mut lost = Vec::new();
        for (position, cve) in run.cves.iter().enumerate() {
            let result = &cve.result;
            if result.outcome != Some(Outcome::Waiting)
                || !matches!(result.applicability.fixes(), Some(Fixes::OwnBranch(_)))
            {
                continue;
            }
            let texts: Vec<_> = result.fixes.iter().map(|fix| fix.digest).collect();
            if !self.are_kept(&texts).await? {
                lost.push(position);
            }
        }
        Ok(lost)
    }

    /// Takes the config of the stock kernel's package.
    async fn gather_config(&self, run: &mut Run) -> Result<(), AppError> {
        let target = run.asked.request.target.clone();
        let options = run.asked.request.options.clone();
        let text = match self.inner.options.inventories.clone() {
            Some(inventories) => {
                let release = target.release.clone();
                let get = move || inventories.stock_config(&release);
                let got = tokio::task::spawn_blocking(get).await;
                got.map_err(|error| AppError::Panicked(error.to_string()))?
            }
            None => Err(Failure::new(
                FailureClass::ReleaseUnknown,
                format!("the config of {} is not known", target.release),
                "send it with the request",
            )),
        };
        let text = match text {
            Ok(text) => text,
            Err(failure) => {
                run.fail(failure);
                return Ok(());
            }
        };
        let mut writer = self.store().begin_blob(elivepatch_model::limits::CONFIG_BYTES)?;
        writer.write(&text).await?;
        match self.check_config(writer.finish().await?, &target, &options).await {
            Ok(checked) => {
                run.progress.config_meaning = Some(checked.meaning);
                run.config = Some(self.store().keep_blob(checked.upload).await?);
            }
            Err(AppError::Refused(failure)) => run.fail(*failure),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Fetches the patches of one CVE.
    async fn gather_fix(&self, run: &mut Run, position: usize) {
        let Some(record) = run.cves.get(position) else { return };
        let Some(Fixes::OwnBranch(commits)) = record.result.applicability.fixes() else { return };
        let mut patches = Vec::new();
        let mut missing = None;
        for commit in commits.clone() {
            match self.fix_of_commit(&commit.hash).await {
                Ok(found) => patches.push((commit.hash, Some(commit.version), found)),
                Err(FixMissing::Refused { failure, .. }) => {
                    missing = Some(outcome(*failure));
                    break;
                }
                Err(error) => {
                    let is_transient = error.is_transient();
                    missing =
                        Some(Outcome::FixUnavailable { reason: with_causes(&error), is_transient });
                    break;
                }
            }
        }
        let record = run.change(position);
        match missing {
            Some(found) => record.result.outcome = Some(found),
            None => self.take_fix(record, patches, false),
        }
    }
}

/// The fixes to be tried, in the order in which they are applied: by the version of the branch that has
/// them. Within a version the feed does not tell the order; what does not apply at its place is tried after
/// all others, too. Those that were made for no version of the branch come last.
fn units(run: &Run) -> Vec<Unit> {
    let mut by_patches: BTreeMap<Vec<Sha256Digest>, Unit> = BTreeMap::new();
    for (position, cve) in run.cves.iter().enumerate() {
        if cve.result.outcome != Some(Outcome::Waiting) || cve.result.fixes.is_empty() {
            continue;
        }
        let mut fixes = cve.result.fixes.clone();
        fixes.sort_by_key(|fix| order(fix.version));
        let key = fixes.iter().map(|fix| fix.digest).collect();
        let unit = by_patches.entry(key).or_insert_with(|| Unit {
            cves: Vec::new(),
            patches: fixes
                .iter()
                .map(|fix| (named_fix(cve, &fix.commit, fix.digest), fix.version))
                .collect(),
            trial: UnitState::Waiting,
        });
        unit.cves.push(position);
    }
    let mut units: Vec<Unit> = by_patches.into_values().collect();
    units.sort_by(|a, b| {
        let key = |unit: &Unit| {
            let version = unit.patches.first().map_or((true, None), |(_, version)| order(*version));
            (version, unit.patches.first().map(|(fix, _)| fix.name.clone()))
        };
        key(a).cmp(&key(b))
    });
    units
}

/// Where a patch stands among others.
fn order(version: Option<LinuxVersion>) -> (bool, Option<LinuxVersion>) {
    (version.is_none(), version)
}
