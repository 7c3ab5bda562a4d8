//! The second part of a run: each fix is tried alone.

use std::collections::BTreeSet;

use elivepatch_cve::Outcome;
use elivepatch_model::{BuildState, Failure, FailureClass, PatchedFunction, RunState};
use elivepatch_store::BuildRecord;

use super::{
    advance::Run,
    combination::Combination,
    ordering::SetOrder,
    progress::{KeptState, UnitState},
    together::works_with,
    verdict::{ends_run, outcome},
};
use crate::app::{App, AppError, CvePolicy};

/// How many probes of a run wait or run at the same time: enough for all workers, and few enough that
/// a kernel of which nothing can be built shows early, and that other builds find room in the queue.
pub(super) const PROBES_AT_A_TIME: usize = 16;

impl App {
    /// Takes in the probes that have ended, and orders further ones; when all have ended, goes on to
    /// putting the fixes together. Gives whether anything was done.
    pub(super) async fn try_fixes(&self, run: &mut Run) -> Result<bool, AppError> {
        let is_kept_tried = run.asked.kept.is_empty()
            || run.progress.units.is_empty()
            || matches!(run.progress.kept, KeptState::Works { .. });
        if !is_kept_tried {
            return self.try_kept(run).await;
        }
        let mut is_changed = false;
        let mut under_way = 0;
        for place in 0..run.progress.units.len() {
            let UnitState::UnderWay { probe, .. } = run.progress.units[place].trial else {
                continue;
            };
            if !self.store().build_state(probe).await?.is_finished() {
                under_way += 1;
                continue;
            }
            let build = self.store().build(probe).await?;
            take_in(run, place, build);
            is_changed = true;
            if run.state.is_finished() {
                return Ok(true);
            }
        }
        for place in 0..run.progress.units.len() {
            if under_way >= PROBES_AT_A_TIME {
                break;
            }
            if run.progress.units[place].trial != UnitState::Waiting {
                continue;
            }
            let Some(build) = self.order_set(run, &SetOrder::probe(&[place])).await? else { break };
            run.progress.units[place].trial =
                UnitState::UnderWay { probe: build.number, with: Vec::new() };
            for position in run.progress.units[place].cves.clone() {
                run.change(position).result.probe = Some(build.number);
            }
            is_changed = true;
            if build.state.is_finished() {
                take_in(run, place, build);
                if run.state.is_finished() {
                    return Ok(true);
                }
            } else {
                under_way += 1;
            }
        }
        let (all, tried) = run.progress.tried();
        run.progress.activity = format!("trying each fix alone: {tried} of {all}");
        if tried == all {
            if self.try_together(run, under_way).await? {
                is_changed = true;
            }
            run.progress.activity = "trying fixes that do not compile alone with others".to_owned();
        }
        if run.progress.is_tried() {
            run.progress.earlier = self.earlier_livepatch(run).await?;
            self.begin_to_combine(run);
            is_changed = true;
        }
        Ok(is_changed)
    }

    /// Tries what is kept in any case, by itself: where that cannot be built, nothing can that is on top of it. Gives
    /// whether anything was done.
    async fn try_kept(&self, run: &mut Run) -> Result<bool, AppError> {
        let build = match run.progress.kept {
            KeptState::UnderWay { probe } => {
                if !self.store().build_state(probe).await?.is_finished() {
                    return Ok(false);
                }
                self.store().build(probe).await?
            }
            _ => match self.order_set(run, &SetOrder::probe(&[])).await? {
                Some(build) => build,
                None => return Ok(false),
            },
        };
        run.progress.activity = "trying the fixes that are kept".to_owned();
        match (build.state, build.probe, build.failure) {
            (BuildState::Succeeded, Some(probe), _) => {
                let functions: BTreeSet<_> = probe.functions.iter().cloned().collect();
                match over_limits(&self.inner.options.cve.policy, &functions) {
                    Some(rule) => {
                        let rule = format!("the fixes that are kept are too many: {rule}");
                        let hint = "allow larger livepatches in the server's config";
                        run.fail(Failure::new(FailureClass::LimitExceeded, rule, hint));
                    }
                    None => run.progress.kept = KeptState::Works { functions: probe.functions },
                }
            }
            (BuildState::Failed, _, Some(failure)) => run.fail(failure),
            (state, ..) if state.is_finished() => run.progress.kept = KeptState::Waiting,
            _ => run.progress.kept = KeptState::UnderWay { probe: build.number },
        }
        Ok(true)
    }

    /// Leaves out what is over the limits of a livepatch, and begins to put the rest together.
    fn begin_to_combine(&self, run: &mut Run) {
        let policy = &self.inner.options.cve.policy;
        let mut all: BTreeSet<PatchedFunction> = match &run.progress.kept {
            KeptState::Works { functions } => functions.iter().cloned().collect(),
            _ => BTreeSet::new(),
        };
        let (mut fixes, mut late, mut over) = (Vec::new(), Vec::new(), Vec::new());
        // Where the room is not for all, the worst CVEs have it.
        let mut by_need: Vec<_> = run.progress.units.iter().enumerate().collect();
        by_need.sort_by_key(|(_, unit)| unit.cves.first().copied());
        for (place, unit) in by_need {
            let functions = match &unit.trial {
                UnitState::Works { functions } => functions,
                UnitState::DoesNotApply => {
                    late.push(place);
                    continue;
                }
                UnitState::Waiting
                | UnitState::UnderWay { .. }
                | UnitState::DoesNotCompile
                | UnitState::Failed => continue,
            };
            let with: BTreeSet<PatchedFunction> = all.iter().chain(functions).cloned().collect();
            match over_limits(policy, &with) {
                Some(rule) => over.push((place, rule)),
                None => {
                    all = with;
                    fixes.push(place);
                }
            }
        }
        for (place, rule) in over {
            run.set_outcomes(place, &Outcome::Denied { rule });
        }
        fixes.sort_unstable();
        late.sort_unstable();
        run.progress.combination = Some(Combination::new(fixes, late));
        run.state = RunState::Combining;
        run.progress.activity = "putting the fixes together".to_owned();
    }
}

/// The limit that a livepatch of these functions would pass, for people.
pub(super) fn over_limits(
    policy: &CvePolicy,
    functions: &BTreeSet<PatchedFunction>,
) -> Option<String> {
    let objects: BTreeSet<&str> =
        functions.iter().map(|function| function.object.as_str()).collect();
    let of = |key: &str, limit: usize, what: String| {
        format!(
            "{key} = {limit} in [policy] of the server's config: with this fix and those of worse \
             CVEs the livepatch would {what}"
        )
    };
    let (count, limit) = (functions.len(), policy.livepatch_functions);
    if count > limit {
        return Some(of("livepatch_functions", limit, format!("replace {count} functions")));
    }
    let (count, limit) = (objects.len(), policy.livepatch_objects);
    let what = format!("patch {count} objects (vmlinux and modules)");
    (count > limit).then(|| of("livepatch_objects", limit, what))
}

/// Notes what a probe that has ended says.
fn take_in(run: &mut Run, place: usize, build: BuildRecord) {
    let with = match &run.progress.units[place].trial {
        UnitState::UnderWay { with, .. } => with.clone(),
        _ => Vec::new(),
    };
    if !with.is_empty() {
        return take_in_together(run, place, &with, build);
    }
    let seconds = build
        .started_at
        .zip(build.finished_at)
        .map(|(start, end)| u32::try_from(end.duration_since(start).as_secs()).unwrap_or_default());
    for position in run.progress.units[place].cves.clone() {
        run.change(position).result.probe_seconds = seconds;
    }
    let trial = match (build.state, build.probe, build.failure) {
        (BuildState::Succeeded, Some(probe), _) => {
            UnitState::Works { functions: run.progress.without_kept(probe.functions) }
        }
        (BuildState::Failed, _, Some(failure)) if ends_run(failure.class) => {
            run.fail(failure);
            return;
        }
        (BuildState::Failed, _, Some(failure)) => {
            if failure.class == FailureClass::FixInSource
                && let Some(name) = failure.fix.as_deref()
                && run.progress.units[place].leave_out(name)
            {
                // The source has one of several patches: whether it has the others, too, they show.
                run.progress.units[place].trial = UnitState::Waiting;
                return;
            }
            let trial = match failure.class {
                FailureClass::PatchDoesNotApply => UnitState::DoesNotApply,
                FailureClass::CompileFailed => UnitState::DoesNotCompile,
                _ => UnitState::Failed,
            };
            run.set_outcomes(place, &outcome(failure));
            trial
        }
        // Somebody cancelled it: the run goes on as long as it is not cancelled itself.
        _ => UnitState::Waiting,
    };
    run.progress.units[place].trial = trial;
}

/// The same for one that was built with others. When it does not work with them either, what it was alone
/// stays its verdict.
fn take_in_together(run: &mut Run, place: usize, with: &[usize], build: BuildRecord) {
    match (build.state, build.probe, build.failure) {
        (BuildState::Succeeded, Some(probe), _) => {
            let functions = run.progress.without_kept(probe.functions);
            works_with(run, place, with, functions);
        }
        (BuildState::Failed, _, Some(failure)) if ends_run(failure.class) => run.fail(failure),
        (BuildState::Failed, _, Some(_)) => run.progress.units[place].trial = UnitState::Failed,
        // Somebody cancelled it.
        _ => run.progress.units[place].trial = UnitState::DoesNotCompile,
    }
}
