//! How far the build of a kernel is: objects begun of those that make has to make.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use elivepatch_model::{BuildEvent, Failure, StepName};

use super::{
    first_error::FirstError,
    staging::{SYNC_INTERVAL, Stage, Staging},
};
use crate::Observer;

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// What Kbuild prints before an object that a compiler or assembler makes.
const OBJECTS: [&str; 2] = ["CC", "AS"];

/// What is built, as progress tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The step of the build that it is a part of.
    pub step: StepName,
    /// While objects are compiled: `building the kernel`.
    pub compiling: &'static str,
    /// While they are linked: `linking the kernel`.
    pub linking: &'static str,
}

/// Hears make's output: counts objects, keeps the first error, and notes now and then what is on
/// the disk. All else goes to the build's own observer.
pub(super) struct BuildWatcher<'a, S> {
    observer: &'a dyn Observer,
    subject: Subject,
    /// What is to be made in this run, and what earlier runs have made.
    total: u64,
    before: u64,
    state: Mutex<State<'a, S>>,
}

struct State<'a, S> {
    staging: &'a mut Staging<S>,
    begun: u64,
    links: bool,
    started: Instant,
    told: Option<Instant>,
    synced: Instant,
    first_error: FirstError,
    sync_failure: Option<Failure>,
}

impl<'a, S: Stage> BuildWatcher<'a, S> {
    /// `objects` are to be made in this run.
    pub(super) fn new(
        observer: &'a dyn Observer,
        staging: &'a mut Staging<S>,
        subject: Subject,
        objects: u64,
    ) -> Self {
        let now = Instant::now();
        let total = staging.objects_in_all(objects);
        let state = State {
            staging,
            begun: 0,
            links: false,
            started: now,
            told: None,
            synced: now,
            first_error: FirstError::default(),
            sync_failure: None,
        };
        Self { observer, subject, total, before: total - objects, state: Mutex::new(state) }
    }

    /// What it heard: the first error, and whether noting failed.
    pub(super) fn finish(self) -> (FirstError, Option<Failure>) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.first_error, state.sync_failure)
    }

    fn state(&self) -> MutexGuard<'_, State<'a, S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, line: &str) {
        let mut state = self.state();
        state.first_error.line(line);
        if is_object(line) {
            state.begun += 1;
        }
        // Objects of modules may be left then, or none.
        state.links |= line.starts_with("  LD") && line.ends_with(" vmlinux.o");
        let now = Instant::now();
        let due = state.told.is_none_or(|told| now - told >= TOLD_EVERY);
        if due {
            state.told = Some(now);
            // More than make said in advance is no more than all.
            let done = (self.before + state.begun).min(self.total);
            let what = if state.links {
                self.subject.linking.to_owned()
            } else {
                describe(self.subject, state.begun, self.total - self.before, now - state.started)
            };
            self.observer.event(BuildEvent::Progress {
                step: self.subject.step,
                what,
                done,
                total: self.total,
                unit: "objects".to_owned(),
            });
        }
        if now - state.synced >= SYNC_INTERVAL && state.sync_failure.is_none() {
            state.sync_failure = state.staging.sync().err();
            state.synced = Instant::now();
        }
    }
}

impl<S: Stage> Observer for BuildWatcher<'_, S> {
    fn event(&self, event: BuildEvent) {
        if let BuildEvent::Log { line, .. } = &event {
            self.line(line);
        }
        self.observer.event(event);
    }

    fn is_cancelled(&self) -> bool {
        self.observer.is_cancelled() || self.state().sync_failure.is_some()
    }
}

/// What is going on, with the time that is left by the pace so far.
fn describe(subject: Subject, begun: u64, total: u64, elapsed: Duration) -> String {
    // Where make could not say how many there are, or only the first are begun, nothing is known.
    if total == 0 {
        return subject.compiling.to_owned();
    }
    if begun >= total {
        return subject.linking.to_owned();
    }
    if begun < 20 || elapsed < Duration::from_secs(5) {
        return subject.compiling.to_owned();
    }
    let left = elapsed.as_secs_f64() * (total - begun) as f64 / begun as f64;
    let left = match left.round() as u64 {
        seconds if seconds < 90 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    };
    format!("{}, about {left} left before it is linked", subject.compiling)
}

/// Whether the line is `  CC      fs/exec.o` or `  CC [M]  fs/ext4/inode.o`.
fn is_object(line: &str) -> bool {
    let mut words = line.split_whitespace();
    line.starts_with("  ")
        && words.next().is_some_and(|word| OBJECTS.contains(&word))
        && words.next_back().is_some_and(|word| word.ends_with(".o"))
}

/// The shell command that counts the objects that make would make, in the tree.
pub(crate) fn counting_script(make: &[String]) -> String {
    let words: Vec<String> = make.iter().map(|word| format!("'{word}'")).collect();
    // Without the objects make does not know how to link: it is told to go on.
    format!(
        "{} --dry-run --keep-going 2>/dev/null | grep --count --extended-regexp \
         \"echo '  (CC|AS) .*\\.o'\" || true",
        words.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject = Subject {
        step: StepName::Base,
        compiling: "building the kernel",
        linking: "linking the kernel",
    };

    #[test]
    fn objects_are_told_from_other_lines() {
        for line in ["  CC      fs/exec.o", "  CC [M]  fs/ext4/inode.o", "  AS      a/entry.o"] {
            assert!(is_object(line), "{line}");
        }
        for line in ["  AR      fs/built-in.a", "  LD      vmlinux.o", "CC fs/exec.o", "  CC", ""] {
            assert!(!is_object(line), "{line}");
        }
    }

    #[test]
    fn time_left_follows_the_pace() {
        let seconds = Duration::from_secs;
        assert_eq!(describe(SUBJECT, 5, 1000, seconds(1)), "building the kernel");
        assert_eq!(
            describe(SUBJECT, 100, 1000, seconds(30)),
            "building the kernel, about 5 min left before it is linked"
        );
        assert_eq!(
            describe(SUBJECT, 900, 1000, seconds(270)),
            "building the kernel, about 30 s left before it is linked"
        );
        assert_eq!(describe(SUBJECT, 1000, 1000, seconds(300)), "linking the kernel");
        assert_eq!(describe(SUBJECT, 7, 0, seconds(300)), "building the kernel");
    }
}
