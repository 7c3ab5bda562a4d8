//! Shows a build or a CVE run while it goes on, on standard error: live on a terminal, in plain lines elsewhere.

mod plain;
mod run;
mod terminal;

use std::io::{IsTerminal, stderr};

use elivepatch_model::{Step, StepName, StepState};

pub use self::run::{RunProgress, for_run};
use self::{plain::PlainProgress, terminal::TerminalProgress};
use crate::{
    output::{self, SaidLines},
    text::{duration, printable},
};

/// Something that shows a build.
pub trait Progress {
    /// The build waits for a worker.
    fn waiting(&mut self);
    /// A worker has begun it.
    fn running(&mut self);
    /// A step began or ended.
    fn step(&mut self, step: &Step);
    /// The running step got further.
    fn amount(&mut self, step: StepName, what: &str, done: u64, total: u64, unit: &str);
    /// A tool printed a line.
    fn log(&mut self, step: StepName, line: &str);
    /// Something that the user should read once.
    fn note(&mut self, text: &str);
    /// What was running is over: the build is finished or begins again.
    fn reset(&mut self);
}

/// The progress display that fits standard error. `verbose` shows what the tools print, too.
pub fn for_stderr(verbose: bool) -> Box<dyn Progress> {
    if output::is_redirected() {
        Box::new(PlainProgress::new(SaidLines::default(), verbose))
    } else if stderr().is_terminal() && !is_dumb() {
        Box::new(TerminalProgress::new(verbose))
    } else {
        Box::new(PlainProgress::new(anstream::stderr(), verbose))
    }
}

/// Whether the terminal can do nothing but print lines.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// `[ 3/11] base: prepare the base`.
fn title(step: StepName) -> String {
    format!("{} {step}: {}", position(step), step.describe())
}

fn position(step: StepName) -> String {
    let position = StepName::ALL.iter().position(|name| *name == step).map_or(0, |index| index + 1);
    format!("[{position:>2}/{}]", StepName::ALL.len())
}

/// `done in 12.3 s: SUMMARY`, or that it failed; `None` while it runs.
fn outcome(step: &Step) -> Option<String> {
    let word = match step.state {
        StepState::Running => return None,
        StepState::Done => "done",
        StepState::Failed => "failed",
    };
    let time = step.duration_seconds.map(|seconds| {
        let preposition = if step.state == StepState::Done { "in" } else { "after" };
        format!(" {preposition} {}", duration(seconds))
    });
    let summary = step.summary.as_ref().filter(|summary| !summary.is_empty());
    let summary = summary.map(|summary| format!(": {}", printable(summary)));
    Some(format!("{word}{}{}", time.unwrap_or_default(), summary.unwrap_or_default()))
}

/// `120 MB of 588 MB`, or `3 of 10 items`.
fn amount_text(done: u64, total: u64, unit: &str) -> String {
    let shown = |amount| match unit {
        "bytes" => indicatif::DecimalBytes(amount).to_string(),
        _ => amount.to_string(),
    };
    let unit = if unit == "bytes" { String::new() } else { format!(" {}", printable(unit)) };
    match total {
        0 => format!("{}{unit}", shown(done)),
        _ => format!("{} of {}{unit}", shown(done), shown(total)),
    }
}
