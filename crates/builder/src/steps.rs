use std::time::Instant;

use elivepatch_model::{BuildEvent, Failure, Step, StepName, StepState};

use crate::{Observer, failures::cancelled};

/// Times the steps of a build and reports them.
pub(crate) struct Steps<'a> {
    observer: &'a dyn Observer,
    done: Vec<Step>,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, done: Vec::new() }
    }

    /// Runs one step. `work` gives its result with a one-line summary for people.
    pub(crate) fn run<T>(
        &mut self,
        name: StepName,
        work: impl FnOnce() -> Result<(T, String), Failure>,
    ) -> Result<T, Failure> {
        if self.observer.is_cancelled() {
            return Err(cancelled());
        }
        let started = Instant::now();
        self.report(Step {
            name,
            state: StepState::Running,
            duration_seconds: None,
            summary: None,
        });
        let result = work();
        let duration_seconds = Some((started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0);
        match result {
            Ok((value, summary)) => {
                let summary = Some(summary);
                let step = Step { name, state: StepState::Done, duration_seconds, summary };
                self.report(step.clone());
                self.done.push(step);
                Ok(value)
            }
            Err(failure) => {
                let summary = Some(failure.message.clone());
                self.report(Step { name, state: StepState::Failed, duration_seconds, summary });
                Err(failure.in_step(name))
            }
        }
    }

    /// The finished steps.
    pub(crate) fn into_done(self) -> Vec<Step> {
        self.done
    }

    fn report(&self, step: Step) {
        self.observer.event(BuildEvent::Step { step });
    }
}
