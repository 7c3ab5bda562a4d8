use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use elivepatch_builder::Observer;
use elivepatch_model::{BuildEvent, StepName};
use tokio::sync::Notify;

/// Lines of tools' output that go to the server in one window. A person reads a hundredth of this;
/// a tool that prints without end must not fill the server's disk.
const LOG_LINES_PER_WINDOW: u32 = 500;
/// The length of the window.
const LOG_WINDOW: Duration = Duration::from_secs(1);
/// Lines in one build's log in all.
const LOG_LINES_PER_BUILD: u32 = 50_000;
/// The longest line, in characters.
const LOG_LINE_CHARACTERS: usize = 2000;

/// Collects the events of a build for the task that sends them, and hears of its cancellation.
#[derive(Debug)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    cancelled: AtomicBool,
    step_changed: Notify,
}

#[derive(Debug)]
struct Waiting {
    events: Vec<BuildEvent>,
    window_began: Instant,
    lines_in_window: u32,
    lines_in_all: u32,
    left_out: u32,
    last_step: StepName,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        let waiting = Waiting {
            events: Vec::new(),
            window_began: Instant::now(),
            lines_in_window: 0,
            lines_in_all: 0,
            left_out: 0,
            last_step: StepName::Source,
        };
        Self {
            waiting: Mutex::new(waiting),
            cancelled: AtomicBool::new(false),
            step_changed: Notify::new(),
        }
    }

    /// Tells the build to stop.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Waits until a step has begun or ended since the last time: whoever watches should see that
    /// at once.
    pub async fn step_changed(&self) {
        self.step_changed.notified().await;
    }

    /// Takes what has come together since the last time, in its order.
    pub fn take(&self) -> Vec<BuildEvent> {
        let mut waiting = self.waiting();
        waiting.say_what_was_left_out();
        std::mem::take(&mut waiting.events)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no holder of the lock panics")
    }
}

impl Observer for Outbox {
    fn event(&self, event: BuildEvent) {
        let is_step = matches!(event, BuildEvent::Step { .. });
        self.waiting().add(event);
        if is_step {
            self.step_changed.notify_one();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Waiting {
    fn add(&mut self, event: BuildEvent) {
        match event {
            BuildEvent::Log { step, line } => self.add_line(step, line),
            // Only the newest state of the same progress is of interest.
            BuildEvent::Progress { step, ref what, .. } => match self.events.last_mut() {
                Some(BuildEvent::Progress { step: old_step, what: old_what, .. })
                    if *old_step == step && old_what == what =>
                {
                    if let Some(last) = self.events.last_mut() {
                        *last = event;
                    }
                }
                _ => self.events.push(event),
            },
            // A summary may quote a tool's output.
            BuildEvent::Step { step } => {
                self.say_what_was_left_out();
                self.events.push(BuildEvent::Step { step: step.clamped() });
            }
            state @ BuildEvent::State { .. } => self.events.push(state),
        }
    }

    fn add_line(&mut self, step: StepName, line: String) {
        if self.window_began.elapsed() >= LOG_WINDOW {
            self.window_began = Instant::now();
            self.lines_in_window = 0;
        }
        self.last_step = step;
        let full = self.lines_in_window >= LOG_LINES_PER_WINDOW
            || self.lines_in_all >= LOG_LINES_PER_BUILD;
        if full {
            self.left_out += 1;
            return;
        }
        self.say_what_was_left_out();
        self.lines_in_window += 1;
        self.lines_in_all += 1;
        let line = match line.char_indices().nth(LOG_LINE_CHARACTERS) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        };
        self.events.push(BuildEvent::Log { step, line });
    }

    fn say_what_was_left_out(&mut self) {
        if self.left_out > 0 {
            let line = format!("({} lines are left out here)", self.left_out);
            self.events.push(BuildEvent::Log { step: self.last_step, line });
            self.left_out = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use elivepatch_model::{Step, StepState};

    use super::*;

    fn log(line: &str) -> BuildEvent {
        BuildEvent::Log { step: StepName::Compile, line: line.to_owned() }
    }

    #[test]
    fn flood_of_lines_is_cut_and_the_gap_is_named() {
        let outbox = Outbox::new();
        for _ in 0..LOG_LINES_PER_WINDOW + 7 {
            outbox.event(log("x"));
        }
        let events = outbox.take();
        assert_eq!(events.len(), LOG_LINES_PER_WINDOW as usize + 1);
        assert_eq!(events.last(), Some(&log("(7 lines are left out here)")));
        assert_eq!(outbox.take(), []);
    }

    #[test]
    fn progress_keeps_its_newest_state_and_the_order_of_the_rest() {
        let progress = |done| BuildEvent::Progress {
            step: StepName::Source,
            what: "linux".to_owned(),
            done,
            total: 9,
            unit: "bytes".to_owned(),
        };
        let outbox = Outbox::new();
        for event in [log("a"), progress(1), progress(2), log("b"), progress(3)] {
            outbox.event(event);
        }
        assert_eq!(outbox.take(), [log("a"), progress(2), log("b"), progress(3)]);
    }

    #[test]
    fn long_summary_of_a_step_is_cut() {
        let outbox = Outbox::new();
        let (name, state) = (StepName::Compile, StepState::Failed);
        let summary = Some("x".repeat(800_000));
        let step = Step { name, state, duration_seconds: None, summary };
        outbox.event(BuildEvent::Step { step: step.clone() });
        assert_eq!(outbox.take(), [BuildEvent::Step { step: step.clamped() }]);
    }

    #[test]
    fn long_line_is_cut_at_a_character() {
        let outbox = Outbox::new();
        outbox.event(log(&"ü".repeat(LOG_LINE_CHARACTERS + 1)));
        let expected = format!("{}…", "ü".repeat(LOG_LINE_CHARACTERS));
        assert_eq!(outbox.take(), [log(&expected)]);
    }
}
