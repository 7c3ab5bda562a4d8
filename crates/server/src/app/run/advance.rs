//! Taking runs forward, one step after the other.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use elivepatch_cve::Outcome;
use elivepatch_model::{BuildNumber, Failure, RunNumber, RunState};
use elivepatch_store::{KeptBlob, RunCveRecord, RunRecord, RunStep, StoreError};

use tokio::task::{Id, JoinSet};

use super::{
    combination::Place,
    progress::{Asked, KeptState, Progress, UnitState, read, write},
};
use crate::app::{App, AppError, now};

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
                        | Outcome::CouldNotTry { .. }
                        | Outcome::NotTried
                        | Outcome::Waiting
                )
            )
        };
        !self.cves.iter().any(is_open)
    }
}

impl App {
    /// Takes all runs forward until the server stops, each in steps of its own: one that waits for an archive
    /// or a source of fixes holds up no other.
    pub(in crate::app) async fn run_runs(&self) {
        let mut waiter = self.wakeups().run_waiter();
        let mut steps: JoinSet<Result<bool, AppError>> = JoinSet::new();
        // Those whose step is under way, by its task, or that have nothing to do until something happens.
        let mut busy: HashMap<Id, RunNumber> = HashMap::new();
        let mut at_rest: BTreeSet<RunNumber> = BTreeSet::new();
        let mut failed = false;
        self.cancel_left_probes().await;
        loop {
            match self.store().unfinished_runs().await {
                Ok(records) => {
                    for record in records {
                        let number = record.number;
                        if at_rest.contains(&number) || busy.values().any(|busy| *busy == number) {
                            continue;
                        }
                        let app = self.clone();
                        let step = steps.spawn(async move { app.step(record).await });
                        busy.insert(step.id(), number);
                    }
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "CVE runs cannot be looked for"
                    );
                    failed = true;
                }
            }
            let ended = tokio::select! {
                ended = steps.join_next_with_id(), if !steps.is_empty() => ended,
                goes_on = waiter.wait() => {
                    if !goes_on {
                        return;
                    }
                    tokio::time::sleep(if std::mem::take(&mut failed) { REST } else { COLLECT }).await;
                    at_rest.clear();
                    None
                }
            };
            let Some(ended) = ended else { continue };
            let (step, moved) = match ended {
                Ok((step, moved)) => (step, moved),
                Err(error) => (error.id(), Err(AppError::Panicked(error.to_string()))),
            };
            let Some(number) = busy.remove(&step) else { continue };
            match moved {
                Ok(true) => {}
                Ok(false) => drop(at_rest.insert(number)),
                // One that cannot go on does not hold up the others.
                Err(error) => {
                    tracing::error!(
                        run = %number, error = &error as &dyn std::error::Error,
                        "a CVE run cannot be taken forward; it is tried again"
                    );
                    at_rest.insert(number);
                    failed = true;
                }
            }
        }
    }

    /// Takes a run a step forward; ends one whose record cannot be read.
    async fn step(&self, record: RunRecord) -> Result<bool, AppError> {
        let number = record.number;
        match self.advance(record).await {
            Err(AppError::Store(StoreError::Corrupt { what, source })) => {
                tracing::error!(run = %number, what, ?source, "a CVE run is damaged");
                self.give_up(number, &what).await?;
                Ok(true)
            }
            outcome => outcome,
        }
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
                // Nothing is on top of what is kept before that is tried.
                if let KeptState::UnderWay { probe } = progress.kept {
                    return Ok(!self.store().build_state(probe).await?.is_finished());
                }
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
            // It was cancelled meanwhile: what this step has ordered since then was not there yet.
            self.cancel_probes(number).await;
            return Ok(());
        }
        if run.state.is_finished() {
            let livepatch = run.livepatch.map(|build| build.0);
            let class = run.failure.as_ref().map(|failure| failure.class.as_str());
            tracing::info!(run = %number, state = %run.state, livepatch, class, "CVE run ended");
            if run.state == RunState::Failed {
                self.cancel_probes(number).await;
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
        self.cancel_probes(number).await;
        Ok(())
    }
}
