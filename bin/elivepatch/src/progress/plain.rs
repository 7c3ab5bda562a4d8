use std::{
    io::Write,
    time::{Duration, Instant},
};

use elivepatch_model::{Step, StepName};

use super::{Progress, amount_text, outcome, position, title};
use crate::{output::say, text::printable};

/// How often a long step says how far it is: often enough to see that it lives, rarely enough for
/// a log file.
const AMOUNT_INTERVAL: Duration = Duration::from_secs(10);

/// Plain lines for a pipe or a file: `[ 3/11] base: prepare the base … done in 12.3 s: SUMMARY`.
///
/// The first half of a line appears when the step begins. When something else has to be said in
/// between, the second half comes on a line of its own.
pub struct PlainProgress<W> {
    output: W,
    verbose: bool,
    /// The step whose line is not ended yet.
    open: Option<StepName>,
    /// When an amount was last shown, or the step began.
    last_amount: Instant,
}

impl<W: Write> PlainProgress<W> {
    /// Writes to `output`; what the tools print only when `verbose`.
    pub fn new(output: W, verbose: bool) -> Self {
        Self { output, verbose, open: None, last_amount: Instant::now() }
    }

    /// Progress is talk: when nobody listens (a closed pipe), the build is watched all the same.
    fn write(&mut self, text: &str) {
        let _ = self.output.write_all(text.as_bytes());
        let _ = self.output.flush();
    }

    fn line(&mut self, text: &str) {
        self.end_line();
        self.write(&format!("{text}\n"));
    }

    fn end_line(&mut self) {
        if self.open.take().is_some() {
            self.write("\n");
        }
    }
}

impl<W: Write> Progress for PlainProgress<W> {
    fn waiting(&mut self) {
        self.line("waiting for a worker");
    }

    fn running(&mut self) {}

    fn step(&mut self, step: &Step) {
        match outcome(step) {
            None => {
                self.end_line();
                self.write(&format!("{} …", title(step.name)));
                self.open = Some(step.name);
                self.last_amount = Instant::now();
            }
            Some(outcome) if self.open == Some(step.name) => {
                self.open = None;
                self.write(&format!(" {outcome}\n"));
            }
            Some(outcome) => {
                self.line(&format!("{} {}: {outcome}", position(step.name), step.name))
            }
        }
    }

    fn amount(&mut self, step: StepName, what: &str, done: u64, total: u64, unit: &str) {
        if self.last_amount.elapsed() >= AMOUNT_INTERVAL {
            self.last_amount = Instant::now();
            let amount = amount_text(done, total, unit);
            self.line(&format!("{} {step}: {}, {amount}", position(step), printable(what)));
        }
    }

    fn log(&mut self, _step: StepName, line: &str) {
        if self.verbose {
            self.line(&format!("    {}", printable(line)));
        }
    }

    fn note(&mut self, text: &str) {
        self.line(&printable(text));
    }

    fn reset(&mut self) {
        self.end_line();
    }
}

impl<W> Drop for PlainProgress<W> {
    fn drop(&mut self) {
        if self.open.is_some() {
            // What is printed next begins on a line of its own.
            say("");
        }
    }
}

#[cfg(test)]
mod tests {
    use elivepatch_model::StepState;

    use super::*;

    fn step(name: StepName, state: StepState) -> Step {
        let is_over = state != StepState::Running;
        Step {
            name,
            state,
            duration_seconds: is_over.then_some(12.34),
            summary: is_over.then(|| "6.1.176-1".to_owned()),
        }
    }

    fn shown(verbose: bool, show: impl FnOnce(&mut PlainProgress<Vec<u8>>)) -> String {
        let mut progress = PlainProgress::new(Vec::new(), verbose);
        show(&mut progress);
        String::from_utf8(std::mem::take(&mut progress.output)).expect("text")
    }

    #[test]
    fn step_is_one_line() {
        let text = shown(false, |progress| {
            progress.step(&step(StepName::Base, StepState::Running));
            progress.log(StepName::Base, "make: noise");
            progress.step(&step(StepName::Base, StepState::Done));
            progress.step(&step(StepName::Check, StepState::Running));
            progress.step(&step(StepName::Check, StepState::Failed));
        });
        assert_eq!(
            text,
            "[ 3/11] base: prepare the base … done in 12.3 s: 6.1.176-1\n\
             [ 4/11] check: apply and check the patch … failed after 12.3 s: 6.1.176-1\n"
        );
    }

    #[test]
    fn line_is_ended_before_something_else_is_said() {
        let text = shown(true, |progress| {
            progress.waiting();
            progress.step(&step(StepName::Publish, StepState::Running));
            progress.log(StepName::Publish, "tool\u{1b}[31m");
            progress.step(&step(StepName::Publish, StepState::Done));
        });
        assert_eq!(
            text,
            "waiting for a worker\n[11/11] publish: publish the livepatch …\n    tool\\u{1b}[31m\n\
             [11/11] publish: done in 12.3 s: 6.1.176-1\n"
        );
    }

    #[test]
    fn amounts_are_readable() {
        assert_eq!(amount_text(120_000_000, 588_000_000, "bytes"), "120.00 MB of 588.00 MB");
        assert_eq!(amount_text(3, 10, "items"), "3 of 10 items");
        assert_eq!(amount_text(3, 0, "items"), "3 items");
    }
}
