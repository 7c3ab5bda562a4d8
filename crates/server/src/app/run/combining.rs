//! The last part of a run: the fixes that work alone are put together.

use std::collections::BTreeSet;

use elivepatch_cve::Outcome;
use elivepatch_model::{BuildState, Failure, FailureClass, PatchedFunction, RunState};
use elivepatch_store::BuildRecord;

use super::{
    advance::Run,
    combination::{Next, Place},
    ordering::SetOrder,
    progress::{SetUnderWay, UnitState},
    trying::over_limits,
    verdict::{ends_run, outcome},
};
use crate::app::{App, AppError, CvePolicy};

impl App {
    /// Takes in the set that was built, and orders the next one; at the end gives each CVE its verdict.
    /// Gives whether anything was done.
    pub(super) async fn combine(&self, run: &mut Run) -> Result<bool, AppError> {
        if let Some(SetUnderWay { build, .. }) = &run.progress.under_way {
            if !self.store().build_state(*build).await?.is_finished() {
                return Ok(false);
            }
            let build = self.store().build(*build).await?;
            take_in(run, build, &self.inner.options.cve.policy);
            return Ok(true);
        }
        let Some(combination) = &mut run.progress.combination else {
            return Err(AppError::Panicked("a run combines nothing".to_owned()));
        };
        let (set, is_probe) = match combination.next() {
            Next::Build { set, is_probe } => (set, is_probe),
            Next::Done { livepatch, set } => {
                run.livepatch = livepatch;
                finish(run, &set.into_iter().collect::<Vec<_>>());
                return Ok(true);
            }
        };
        let accepted = combination.accepted();
        if !is_probe && let Some(made) = self.is_made_already(run, &set).await? {
            if let Some(combination) = &mut run.progress.combination {
                combination.succeeded(made);
            }
            return Ok(true);
        }
        let what = if is_probe { "building" } else { "building and trying" };
        run.progress.activity =
            format!("{what} {} fixes together ({accepted} are known to work together)", set.len());
        let replaces = run.replaces().filter(|_| !is_probe);
        let order = SetOrder { set: &set, is_probe, replaces };
        let Some(build) = self.order_set(run, &order).await? else { return Ok(false) };
        run.progress.under_way = Some(SetUnderWay { build: build.number, set, is_probe });
        if build.state.is_finished() {
            take_in(run, build, &self.inner.options.cve.policy);
        }
        Ok(true)
    }
}

/// Tells the search what became of a set.
fn take_in(run: &mut Run, build: BuildRecord, policy: &CvePolicy) {
    let Some(SetUnderWay { set, .. }) = run.progress.under_way.take() else { return };
    match (build.state, build.failure.clone()) {
        (BuildState::Succeeded, _) => {
            let Some(combination) = &mut run.progress.combination else { return };
            // What was tried alone was counted before; what applies only after others was not.
            let over = over_limits(policy, &functions(&build));
            match (over, combination.part()) {
                (Some(rule), part) if !part.is_empty() => {
                    if let [place] = part {
                        run.progress.over_limits.insert(*place, rule.clone());
                    }
                    let hint = "allow larger livepatches in the server's config";
                    let failure = Failure::new(FailureClass::LimitExceeded, rule, hint);
                    combination.failed(&failure, &[]);
                }
                _ => combination.succeeded(build.number),
            }
        }
        // It is not the new fixes that failed, and machines without the earlier livepatch can have them.
        (BuildState::Failed, Some(failure))
            if failure.class == FailureClass::TrialEarlierFailed =>
        {
            let Some(earlier) = &mut run.progress.earlier else { return };
            earlier.is_unusable = true;
            tracing::warn!(
                run = %run.record.number, build = %build.number, earlier = %earlier.build,
                "the livepatch of the earlier run cannot be replaced in a trial: {}", failure.message
            );
        }
        (BuildState::Failed, Some(failure)) if ends_run(failure.class) => run.fail(failure),
        (BuildState::Failed, Some(failure)) => {
            let named = failure.fix.as_deref().map(|name| run.progress.named(&set, name));
            tracing::info!(
                run = %run.record.number, build = %build.number, fixes = set.len(),
                class = %failure.class, fix = failure.fix.as_deref(), "a set of fixes failed"
            );
            if let Some(combination) = &mut run.progress.combination {
                combination.failed(&failure, &named.unwrap_or_default());
            }
        }
        // Somebody cancelled it: it is ordered anew.
        _ => {}
    }
}

/// What a build replaces.
fn functions(build: &BuildRecord) -> BTreeSet<PatchedFunction> {
    let probe = build.probe.iter().flat_map(|probe| &probe.functions);
    let manifest = build.manifest.iter().flat_map(|manifest| &manifest.functions);
    probe.chain(manifest).cloned().collect()
}

/// Gives each CVE its verdict.
fn finish(run: &mut Run, set: &[Place]) {
    let left_out = match &run.progress.combination {
        Some(combination) => combination.left_out().clone(),
        None => Default::default(),
    };
    for place in 0..run.progress.units.len() {
        let verdict = match (&run.progress.units[place].trial, left_out.get(&place)) {
            (UnitState::Works { functions }, _) if set.contains(&place) => {
                Outcome::Livepatch { functions: functions.clone() }
            }
            (_, _) if set.contains(&place) => Outcome::Livepatch { functions: Vec::new() },
            _ if run.progress.over_limits.contains_key(&place) => {
                Outcome::Denied { rule: run.progress.over_limits[&place].clone() }
            }
            (UnitState::Works { .. }, Some(failure)) => match outcome(failure.clone()) {
                could_not @ Outcome::CouldNotTry { .. } => could_not,
                in_trial if is_of_the_trial(failure.class) => in_trial,
                _ => Outcome::Conflicts { failure: failure.clone() },
            },
            // What a person can act on is why it does not apply alone.
            (UnitState::DoesNotApply, Some(_)) => continue,
            (_, Some(failure)) => outcome(failure.clone()),
            (_, None) => continue,
        };
        run.set_outcomes(place, &verdict);
    }
    run.state = RunState::Finished;
}

fn is_of_the_trial(class: FailureClass) -> bool {
    class.as_str().starts_with("trial-")
}
