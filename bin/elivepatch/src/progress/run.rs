//! Shows a CVE run while it goes on: where it is, and how many CVEs have which verdict.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use elivepatch_api::{RunResource, RunState};
use elivepatch_cve::Group;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::{
    cve::{Tense, groups, sentence},
    output::{self, say},
    text::printable,
};

/// How often a line is printed where no line can be changed: often enough to see that it lives, rarely enough
/// for a log file.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// Something that shows a run.
pub trait RunProgress {
    /// It is so now.
    fn show(&mut self, run: &RunResource);
    /// Something that the user should read once.
    fn note(&mut self, text: &str);
}

/// The display that fits standard error. Where only news are told it is for a terminal only.
pub fn for_run(tells_only_news: bool) -> Box<dyn RunProgress> {
    let is_terminal = stderr().is_terminal() && !output::is_redirected();
    if is_terminal && !super::is_dumb() {
        Box::new(Live::new())
    } else if tells_only_news && !is_terminal {
        Box::new(Silent)
    } else {
        Box::new(Lines::new(say))
    }
}

/// `trying each fix alone: 12 of 45`.
fn place(run: &RunResource) -> String {
    match run.state {
        RunState::Gathering => "fetching the fixes".to_owned(),
        RunState::Trying => format!("trying each fix alone: {} of {}", run.tried, run.to_try),
        RunState::Combining => "putting the fixes together".to_owned(),
        RunState::Finished | RunState::Failed | RunState::Cancelled => {
            run.state.as_str().to_owned()
        }
    }
}

/// `3 in the livepatch, 2 need a reboot, 40 to be tried`; empty when there is nothing to count.
fn counts(run: &RunResource) -> String {
    let mut groups = groups(&run.counts);
    groups.remove(&Group::NotInKernel);
    groups.remove(&Group::NotAffected);
    match groups.is_empty() {
        true => String::new(),
        false => sentence(&groups, Tense::Running),
    }
}

/// Three lines that change: where the run is, how many CVEs have which verdict, and what it does now. On one line
/// the last would be cut off.
struct Live {
    display: MultiProgress,
    place: ProgressBar,
    counts: ProgressBar,
    activity: ProgressBar,
}

impl Live {
    fn new() -> Self {
        let display = MultiProgress::new();
        let line = |template: &str| {
            let style =
                ProgressStyle::with_template(template).expect("the template is well-formed");
            display.add(ProgressBar::new_spinner().with_style(style))
        };
        let place = line("{spinner} {prefix} … {elapsed}");
        let (counts, activity) = (line("  {wide_msg}"), line("  {wide_msg}"));
        place.enable_steady_tick(TICK);
        Self { display, place, counts, activity }
    }
}

impl RunProgress for Live {
    fn show(&mut self, run: &RunResource) {
        self.place.set_prefix(place(run));
        self.counts.set_message(counts(run));
        self.activity.set_message(run.activity.as_deref().map(printable).unwrap_or_default());
    }

    fn note(&mut self, text: &str) {
        self.display.suspend(|| say(&printable(text)));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for bar in [&self.place, &self.counts, &self.activity] {
            bar.finish_and_clear();
        }
    }
}

/// A line for each state, and some between.
struct Lines<W> {
    write: W,
    state: Option<RunState>,
    last: String,
    at: Instant,
}

impl<W: FnMut(&str)> Lines<W> {
    fn new(write: W) -> Self {
        Self { write, state: None, last: String::new(), at: Instant::now() }
    }
}

impl<W: FnMut(&str)> RunProgress for Lines<W> {
    fn show(&mut self, run: &RunResource) {
        let counts = counts(run);
        let mut line = place(run);
        if !counts.is_empty() {
            line.push_str(&format!(" ({counts})"));
        }
        if let Some(activity) = &run.activity {
            line.push_str(&format!(": {}", printable(activity)));
        }
        let is_due = self.state != Some(run.state) || self.at.elapsed() >= LINE_EVERY;
        if is_due && self.last != line {
            (self.write)(&line);
            (self.state, self.at) = (Some(run.state), Instant::now());
            self.last = line;
        }
    }

    fn note(&mut self, text: &str) {
        (self.write)(&printable(text));
    }
}

/// Shows nothing; what is said is kept until it is known whether there are news.
struct Silent;

impl RunProgress for Silent {
    fn show(&mut self, _run: &RunResource) {}

    fn note(&mut self, text: &str) {
        say(&printable(text));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn lines_come_with_each_state_and_not_with_each_look() {
        let mut run = crate::cve::fixtures::run();
        run.state = RunState::Trying;
        (run.tried, run.to_try) = (1, 3);
        run.activity = Some("CVE-2026-1001: comp\u{1b}ile".to_owned());
        run.counts = BTreeMap::from([
            ("livepatch".to_owned(), 1),
            ("waiting".to_owned(), 2),
            ("not-built".to_owned(), 254),
        ]);
        let mut told = Vec::new();
        let mut progress = Lines::new(|line: &str| told.push(line.to_owned()));
        progress.show(&run);
        run.tried = 2;
        progress.show(&run);
        run.state = RunState::Combining;
        (run.activity, run.counts) = (None, BTreeMap::new());
        progress.show(&run);
        progress.note("away");
        drop(progress);
        assert_eq!(
            told,
            [
                "trying each fix alone: 1 of 3 (1 in the livepatch, 2 to be tried): CVE-2026-1001: \
                 comp\\u{1b}ile",
                "putting the fixes together",
                "away"
            ]
        );
    }
}
