//! Taking runs forward, one step after the other.

use std::{collections::BTreeSet, time::Duration};

use elivepatch_cve::Outcome;
use elivepatch_model::{BuildNumber, BuildOptions, Failure, RunNumber, RunState};
use elivepatch_store::{
    BuildRecord, KeptBlob, NewBuild, RunCveRecord, RunRecord, RunStep, StoreError,
};

use super::{
    combination::Place,
    progress::{Asked, Progress, UnitState, read, write},
};
use crate::app::{App, AppError, now, order::Order};

/// How soon a probe is built, compared with what people wait for.
const PROBE_PRIORITY: i32 = -10;
/// The same for a set of fixes: a run that is nearly done comes before another one's probes.
const SET_PRIORITY: i32 = -5;

/// How long to rest after the store failed.
const REST: Duration = Duration::from_secs(5);
/// How long to collect news before looking: builds have many.
const COLLECT: Duration = Duration::from_millis(100);

/// A run that is taken forward.
pub(super) struct Run {
    /// As it was.
    pub record: RunRecord,
    /// What was asked for.
    pub asked: Asked,
    /// How far it is.
    pub progress: Progress,
    /// Its CVEs, the worst first.
    pub cves: Vec<RunCveRecord>,
    /// Where it stands now.
    pub state: RunState,
    /// The build that made its livepatch.
    pub livepatch: Option<BuildNumber>,
    /// The config, when it has become known.
    pub config: Option<KeptBlob>,
    failure: Option<Failure>,
    changed: BTreeSet<usize>,
}

/// Fixes that are to be built together.
pub(super) struct SetOrder<'a> {
    /// The fixes, in their order.
    pub set: &'a [Place],
    /// Whether they are not tried in a virtual machine.
    pub is_probe: bool,
}

impl Run {
    /// A CVE that is about to change.
    pub(super) fn change(&mut self, position: usize) -> &mut RunCveRecord {
        self.changed.insert(position);
        &mut self.cves[position]
    }

    /// Gives the CVEs of a unit an outcome.
    pub(super) fn set_outcomes(&mut self, place: Place, outcome: &Outcome) {
        for position in self.progress.units[place].cves.clone() {
            self.change(position).result.outcome = Some(outcome.clone());
        }
    }

    /// Ends the run: no fix is to blame.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.state = RunState::Failed;
        self.failure = Some(failure);
        for position in 0..self.cves.len() {
            if self.cves[position].result.outcome == Some(Outcome::Waiting) {
                self.change(position).result.outcome = Some(Outcome::NotTried);
            }
        }
    }

    /// Whether an equal request may rest on it: nothing in it may be better another time.
    fn is_joinable(&self) -> bool {
        let is_open = |cve: &RunCveRecord| {
            matches!(
                cve.result.outcome,
                Some(
                    Outcome::FixUnavailable { is_transient: true, .. }
                        | Outcome::NotTried
                        | Outcome::Waiting
                )
            )
        };
        !self.cves.iter().any(is_open)
    }
}

impl App {
    /// Takes all runs forward until the server stops.
    pub(in crate::app) async fn run_runs(&self) {
        let mut waiter = self.wakeups().run_waiter();
        loop {
            match self.advance_runs().await {
                Ok(0) => {
                    if !waiter.wait().await {
                        return;
                    }
                    tokio::time::sleep(COLLECT).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "CVE runs cannot be taken forward"
                    );
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Takes each run a step forward. Idempotent; gives how many moved.
    pub(in crate::app) async fn advance_runs(&self) -> Result<usize, AppError> {
        let mut moved = 0;
        for record in self.store().unfinished_runs().await? {
            let number = record.number;
            match self.advance(record).await {
                Ok(has_moved) => moved += usize::from(has_moved),
                // One that cannot go on must not hold up the others.
                Err(AppError::Store(StoreError::Corrupt { what, source })) => {
                    tracing::error!(run = %number, what, ?source, "a CVE run is damaged");
                    self.give_up(number, &what).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    async fn advance(&self, record: RunRecord) -> Result<bool, AppError> {
        let progress: Progress = read(&record.progress, &record)?;
        if self.is_at_rest(&record, &progress).await? {
            return Ok(false);
        }
        let asked: Asked = read(&record.request, &record)?;
        let cves = self.store().run_cves(record.number).await?;
        let (state, livepatch) = (record.state, record.livepatch);
        let mut run = Run {
            record,
            asked,
            progress,
            cves,
            state,
            livepatch,
            config: None,
            failure: None,
            changed: BTreeSet::new(),
        };
        let has_moved = match run.state {
            RunState::Gathering => {
                self.gather(&mut run).await?;
                true
            }
            RunState::Trying => self.try_fixes(&mut run).await?,
            RunState::Combining => self.combine(&mut run).await?,
            RunState::Finished | RunState::Failed | RunState::Cancelled => false,
        };
        if has_moved {
            self.keep_run(run).await?;
        }
        Ok(has_moved)
    }

    /// Whether a run only waits for builds, none of which has ended: most looks at a run find that.
    async fn is_at_rest(&self, record: &RunRecord, progress: &Progress) -> Result<bool, AppError> {
        let builds: Vec<BuildNumber> = match record.state {
            RunState::Trying => {
                let probe = |unit: &super::progress::Unit| match unit.trial {
                    UnitState::UnderWay { probe, .. } => Some(probe),
                    _ => None,
                };
                let is_waiting = progress.units.iter().any(|unit| unit.trial == UnitState::Waiting);
                let under_way: Vec<_> = progress.units.iter().filter_map(probe).collect();
                if is_waiting && under_way.len() < super::trying::PROBES_AT_A_TIME {
                    return Ok(false);
                }
                under_way
            }
            RunState::Combining => progress.under_way.iter().map(|set| set.build).collect(),
            _ => return Ok(false),
        };
        if builds.is_empty() {
            return Ok(false);
        }
        for build in builds {
            if self.store().build_state(build).await?.is_finished() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes down how far a run has come.
    async fn keep_run(&self, run: Run) -> Result<(), AppError> {
        let joinable = run.is_joinable();
        let number = run.record.number;
        let results = run.changed.iter().map(|place| (*place, run.cves[*place].result.clone()));
        let step = RunStep {
            state: run.state,
            joinable,
            progress: write(&run.progress),
            config: run.config,
            livepatch: run.livepatch,
            failure: run.failure.as_ref().map(Failure::clamped),
            results: results.collect(),
        };
        if !self.store().step_run(number, &step, now()).await? {
            return Ok(());
        }
        if run.state.is_finished() {
            let livepatch = run.livepatch.map(|build| build.0);
            let class = run.failure.as_ref().map(|failure| failure.class.as_str());
            tracing::info!(run = %number, state = %run.state, livepatch, class, "CVE run ended");
            if run.state == RunState::Failed {
                let under_way = run.progress.units.iter().filter_map(|unit| match unit.trial {
                    UnitState::UnderWay { probe, .. } => Some(probe),
                    _ => None,
                });
                self.cancel_builds(under_way.collect()).await;
            }
        }
        Ok(())
    }

    /// Ends a run whose record cannot be read.
    async fn give_up(&self, number: RunNumber, what: &str) -> Result<(), AppError> {
        let step = RunStep {
            state: RunState::Failed,
            joinable: false,
            progress: self.store().run(number).await?.progress,
            config: None,
            livepatch: None,
            failure: Some(Failure::new(
                elivepatch_model::FailureClass::Internal,
                format!("the record of the run is damaged: {what}"),
                "ask for it again; see the server's log",
            )),
            results: Vec::new(),
        };
        self.store().step_run(number, &step, now()).await?;
        Ok(())
    }

    /// Orders a set of fixes; an equal build is joined. `None` when the queue is full: later.
    pub(super) async fn order_set(
        &self,
        run: &Run,
        order: &SetOrder<'_>,
    ) -> Result<Option<BuildRecord>, AppError> {
        let request = &run.asked.request;
        let (Some(config), Some(meaning)) = (run.record.config, run.progress.config_meaning) else {
            return Err(AppError::Panicked("a run builds without a config".to_owned()));
        };
        let build = Order {
            target: request.target.clone(),
            baseline: run.asked.baseline.clone(),
            fixes: run.progress.patches(order.set),
            // Probes are not tried: one that another run made is as good.
            checks: if order.is_probe { Vec::new() } else { run.checks(order.set) },
            options: BuildOptions {
                probe: order.is_probe,
                replaces: run.replaces().filter(|_| !order.is_probe),
                ..request.options.clone()
            },
            rebuild: None,
        };
        let store = self.store();
        let kallsyms = run.record.kallsyms;
        let identity = &self.inner.options.builder_identity;
        let use_of_symbols = identity.use_of_symbols(&build.target, !build.baseline.is_empty());
        let builder = identity.of_builds_for(&build.target.release);
        let key = build.key(meaning, use_of_symbols.in_key(kallsyms), &builder);
        let kallsyms = match kallsyms {
            Some(digest) => Some(store.kept_blob(digest).await?),
            None => None,
        };
        let new = NewBuild {
            key,
            target: build.target,
            config: store.kept_blob(config).await?,
            kallsyms,
            baseline: build.baseline,
            fixes: build.fixes,
            // They are in the store already.
            patches: Vec::new(),
            checks: build.checks,
            options: build.options,
            rebuild: None,
            priority: if order.is_probe { PROBE_PRIORITY } else { SET_PRIORITY },
            probe_of: order.is_probe.then_some(run.record.number),
        };
        let limit = u64::from(self.inner.options.queue_limit);
        match store.submit(&new, limit, now()).await {
            Ok(submission) => {
                if !submission.joined {
                    self.wakeups().queue_grew(submission.build.number);
                }
                Ok(Some(submission.build))
            }
            Err(StoreError::QueueFull(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Cancels builds that nobody wants any more. What cannot be cancelled has ended.
    pub(super) async fn cancel_builds(&self, builds: Vec<BuildNumber>) {
        for build in builds {
            match self.store().cancel(build, now()).await {
                Ok(()) => self.wakeups().build_changed(build),
                Err(StoreError::Finished { .. }) => {}
                Err(error) => tracing::warn!(
                    build = %build,
                    error = &error as &dyn std::error::Error,
                    "a probe could not be cancelled"
                ),
            }
        }
    }
}
