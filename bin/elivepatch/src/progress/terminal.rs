use std::{collections::HashMap, time::Duration};

use anstyle::AnsiColor;
use elivepatch_model::{Step, StepName, StepState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Progress, amount_text, outcome, title};
use crate::{output::say, text::printable};

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// A live display: one line per step, with a spinner and the time while it runs. Lines of steps
/// that are over scroll up.
pub struct TerminalProgress {
    display: MultiProgress,
    verbose: bool,
    waiting: Option<ProgressBar>,
    steps: HashMap<StepName, ProgressBar>,
}

impl TerminalProgress {
    /// Shows what the tools print only when `verbose`.
    pub fn new(verbose: bool) -> Self {
        let (display, waiting, steps) = (MultiProgress::new(), None, HashMap::new());
        Self { display, verbose, waiting, steps }
    }

    fn spinner(&self, text: String) -> ProgressBar {
        let style = ProgressStyle::with_template("{spinner} {prefix} … {elapsed} {wide_msg}")
            .expect("the template is well-formed");
        let bar = self.display.add(ProgressBar::new_spinner().with_style(style));
        bar.set_prefix(text);
        bar.enable_steady_tick(TICK);
        bar
    }

    /// Prints a line above what is live.
    fn line(&self, text: &str) {
        self.display.suspend(|| say(text));
    }

    fn end_waiting(&mut self) {
        if let Some(bar) = self.waiting.take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for TerminalProgress {
    fn waiting(&mut self) {
        if self.waiting.is_none() {
            self.waiting = Some(self.spinner("waiting for a worker".to_owned()));
        }
    }

    fn running(&mut self) {
        self.end_waiting();
    }

    fn step(&mut self, step: &Step) {
        self.end_waiting();
        let Some(outcome) = outcome(step) else {
            let bar = self.spinner(title(step.name));
            self.steps.insert(step.name, bar);
            return;
        };
        if let Some(bar) = self.steps.remove(&step.name) {
            bar.finish_and_clear();
        }
        let (mark, style) = match step.state {
            StepState::Failed => ("✗", AnsiColor::Red.on_default()),
            _ => ("✓", AnsiColor::Green.on_default()),
        };
        self.line(&format!("{style}{mark}{style:#} {} … {outcome}", title(step.name)));
    }

    fn amount(&mut self, step: StepName, what: &str, done: u64, total: u64, unit: &str) {
        if let Some(bar) = self.steps.get(&step) {
            bar.set_message(format!("{}, {}", printable(what), amount_text(done, total, unit)));
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
        self.end_waiting();
        for (_, bar) in self.steps.drain() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for TerminalProgress {
    fn drop(&mut self) {
        self.reset();
    }
}
