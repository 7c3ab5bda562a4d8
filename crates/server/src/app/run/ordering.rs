//! The builds that a run orders: ordinary ones, so that whatever was built once is joined.

use elivepatch_model::{BuildKey, BuildNumber, BuildOptions, RunNumber, Sha256Digest};
use elivepatch_store::{BuildRecord, NewBuild, StoreError};

use super::{advance::Run, combination::Place};
use crate::app::{App, AppError, now, order::Order};

/// How soon a probe is built, compared with what people wait for.
const PROBE_PRIORITY: i32 = -10;
/// The same for a set of fixes: a run that is nearly done comes before another one's probes.
const SET_PRIORITY: i32 = -5;

/// Fixes that are to be built together.
pub(super) struct SetOrder<'a> {
    /// The fixes, in their order.
    pub set: &'a [Place],
    /// Whether they are not tried in a virtual machine.
    pub is_probe: bool,
    /// The module that the livepatch is to replace in its trial.
    pub replaces: Option<Sha256Digest>,
}

impl<'a> SetOrder<'a> {
    /// Fixes that are built and not tried.
    pub(super) fn probe(set: &'a [Place]) -> Self {
        Self { set, is_probe: true, replaces: None }
    }
}

impl App {
    /// The build of a set of fixes, and its key.
    pub(super) fn order_of(
        &self,
        run: &Run,
        order: &SetOrder<'_>,
    ) -> Result<(Order, BuildKey), AppError> {
        let request = &run.asked.request;
        let Some(meaning) = run.progress.config_meaning else {
            return Err(AppError::Panicked("a run builds without a config".to_owned()));
        };
        let build = Order {
            target: request.target.clone(),
            baseline: run.asked.baseline.clone(),
            fixes: run.progress.patches(&run.asked.kept, order.set),
            // Probes are not tried: one that another run made is as good.
            checks: if order.is_probe { Vec::new() } else { run.checks(order.set) },
            options: BuildOptions {
                probe: order.is_probe,
                replaces: order.replaces,
                ..request.options.clone()
            },
            rebuild: None,
            priority: if order.is_probe { PROBE_PRIORITY } else { SET_PRIORITY },
        };
        let identity = &self.inner.options.builder_identity;
        let use_of_symbols = identity.use_of_symbols(&build.target, !build.baseline.is_empty());
        let builder = identity.of_builds_for(&build.target.release);
        let key = build.key(meaning, use_of_symbols.in_key(run.record.kallsyms), &builder);
        Ok((build, key))
    }

    /// Orders a set of fixes; an equal build is joined. `None` when the queue is full: later.
    pub(super) async fn order_set(
        &self,
        run: &Run,
        order: &SetOrder<'_>,
    ) -> Result<Option<BuildRecord>, AppError> {
        let (build, key) = self.order_of(run, order)?;
        let Some(config) = run.record.config else {
            return Err(AppError::Panicked("a run builds without a config".to_owned()));
        };
        let store = self.store();
        let kallsyms = match run.record.kallsyms {
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
            priority: build.priority,
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

    /// Cancels the probes of a run that has ended. Another run that has joined them orders them anew.
    pub(super) async fn cancel_probes(&self, run: RunNumber) {
        match self.store().cancel_probes(run, now()).await {
            Ok(probes) => self.probes_ended(&probes),
            Err(error) => tracing::warn!(
                %run,
                error = &error as &dyn std::error::Error,
                "the probes of the run could not be cancelled"
            ),
        }
    }

    /// Cancels the probes that an earlier process has left of runs that have ended.
    pub(super) async fn cancel_left_probes(&self) {
        match self.store().ended_runs_with_probes().await {
            Ok(runs) => {
                for run in runs {
                    self.cancel_probes(run).await;
                }
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "probes of ended runs cannot be looked for"
            ),
        }
    }

    /// Tells who waits for probes, as their workers do, that they were cancelled.
    pub(super) fn probes_ended(&self, probes: &[BuildNumber]) {
        for probe in probes {
            self.wakeups().build_changed(*probe);
        }
    }
}
