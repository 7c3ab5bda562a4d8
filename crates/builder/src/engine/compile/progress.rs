use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use elivepatch_model::{BuildEvent, StepName};

use crate::Observer;

/// How long a build compiles before it says how long it will go on, in seconds.
const QUIET_SECONDS: u64 = 5;

/// Passes everything on, and counts the objects that tools say they compiled.
pub(in crate::engine) struct CompileProgress<'a> {
    step: StepName,
    what: &'static str,
    total: usize,
    done: AtomicU64,
    started: Instant,
    observer: &'a dyn Observer,
}

impl<'a> CompileProgress<'a> {
    /// `what` says which state of the objects it is.
    pub(in crate::engine) fn new(
        what: &'static str,
        total: usize,
        observer: &'a dyn Observer,
    ) -> Self {
        Self::in_step(StepName::Compile, what, total, observer)
    }

    /// The same in another step.
    pub(in crate::engine) fn in_step(
        step: StepName,
        what: &'static str,
        total: usize,
        observer: &'a dyn Observer,
    ) -> Self {
        Self { step, what, total, done: AtomicU64::new(0), started: Instant::now(), observer }
    }
}

impl Observer for CompileProgress<'_> {
    fn event(&self, event: BuildEvent) {
        // Kbuild and our own script say it in the same way: `  CC      fs/exec.o`.
        let compiled = matches!(&event, BuildEvent::Log { line, .. }
            if line.starts_with("  CC ") || line.starts_with("  AS "));
        self.observer.event(event);
        if !compiled {
            return;
        }
        // More than was said in advance is no more than all.
        let done = (self.done.fetch_add(1, Ordering::Relaxed) + 1).min(self.total as u64);
        let what = match time_left(self.started.elapsed().as_secs(), done, self.total as u64) {
            Some(left) => format!("{} objects, about {left} left", self.what),
            None => format!("{} objects", self.what),
        };
        self.observer.event(BuildEvent::Progress {
            step: self.step,
            what,
            done,
            total: self.total as u64,
            unit: "items".to_owned(),
        });
    }

    fn is_cancelled(&self) -> bool {
        self.observer.is_cancelled()
    }
}

fn time_left(elapsed_seconds: u64, done: u64, total: u64) -> Option<String> {
    if elapsed_seconds < QUIET_SECONDS || done == 0 || done >= total {
        return None;
    }
    let seconds = elapsed_seconds * (total - done) / done;
    Some(if seconds < 90 { format!("{seconds} s") } else { format!("{} min", (seconds + 30) / 60) })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<BuildEvent>>);

    impl Observer for Heard {
        fn event(&self, event: BuildEvent) {
            self.0.lock().expect("no panic").push(event);
        }

        fn is_cancelled(&self) -> bool {
            false
        }
    }

    #[test]
    fn compiled_objects_are_counted() {
        let heard = Heard::default();
        let progress = CompileProgress::new("patched", 2, &heard);
        for line in ["  CC      fs/a.o", "  DESCEND objtool", "  CC [M]  fs/b.o"] {
            progress.event(BuildEvent::Log { step: StepName::Compile, line: line.to_owned() });
        }
        let events = heard.0.into_inner().expect("no panic");
        let done = |event: &BuildEvent| match event {
            BuildEvent::Progress { done, total: 2, .. } => Some(*done),
            _ => None,
        };
        assert_eq!(events.iter().filter_map(done).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(events.len(), 5, "everything else is passed on");
    }

    #[test]
    fn time_left_is_told_after_a_while() {
        assert_eq!(time_left(2, 1, 100), None);
        assert_eq!(time_left(10, 10, 40).as_deref(), Some("30 s"));
        assert_eq!(time_left(60, 100, 700).as_deref(), Some("6 min"));
        assert_eq!(time_left(60, 100, 100), None);
    }
}
