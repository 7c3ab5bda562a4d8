use std::time::Duration;

use elivepatch_model::BuildNumber;
use tokio::sync::{broadcast, watch};

/// How long a waiting reader sleeps without being woken. A wake-up that got lost costs this much.
pub(super) const POLL: Duration = Duration::from_secs(1);

/// How many wake-ups a slow reader may fall behind; one that falls further behind looks at once.
const EVENT_BACKLOG: usize = 256;

/// Wakes those who wait: readers of events and workers that want work.
#[derive(Debug)]
pub(super) struct Wakeups {
    events: broadcast::Sender<BuildNumber>,
    queue: watch::Sender<u64>,
    runs: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
}

/// Waits for news of one build.
pub(super) struct EventWaiter {
    number: BuildNumber,
    events: broadcast::Receiver<BuildNumber>,
    stopping: watch::Receiver<bool>,
}

/// Waits for work in the queue.
pub(super) struct QueueWaiter {
    queue: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
}

impl Wakeups {
    pub(super) fn new() -> Self {
        Self {
            events: broadcast::Sender::new(EVENT_BACKLOG),
            queue: watch::Sender::new(0),
            runs: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
        }
    }

    /// A CVE run has something to do: one was asked for, or a build has ended.
    pub(super) fn run_changed(&self) {
        self.runs.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Take the waiter before looking, as below.
    pub(super) fn run_waiter(&self) -> QueueWaiter {
        QueueWaiter { queue: self.runs.subscribe(), stopping: self.stopping.subscribe() }
    }

    /// A build has new events.
    pub(super) fn build_changed(&self, number: BuildNumber) {
        // It fails only when nobody listens.
        let _ = self.events.send(number);
    }

    /// A build came into the queue.
    pub(super) fn queue_grew(&self, number: BuildNumber) {
        self.queue.send_modify(|count| *count = count.wrapping_add(1));
        self.build_changed(number);
    }

    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Take the waiter before looking: what happens between the look and the wait is not missed.
    pub(super) fn event_waiter(&self, number: BuildNumber) -> EventWaiter {
        EventWaiter { number, events: self.events.subscribe(), stopping: self.stopping.subscribe() }
    }

    /// Take the waiter before looking, as above.
    pub(super) fn queue_waiter(&self) -> QueueWaiter {
        QueueWaiter { queue: self.queue.subscribe(), stopping: self.stopping.subscribe() }
    }
}

impl EventWaiter {
    /// Returns when the build may have news; `false` when the server stops.
    pub(super) async fn wait(&mut self) -> bool {
        let news = async {
            loop {
                match self.events.recv().await {
                    Ok(number) if number != self.number => {}
                    _ => return,
                }
            }
        };
        tokio::select! {
            () = news => {}
            () = tokio::time::sleep(POLL) => {}
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
        }
        !*self.stopping.borrow()
    }
}

impl QueueWaiter {
    /// Returns when there may be work; `false` when the server stops.
    pub(super) async fn wait(&mut self) -> bool {
        tokio::select! {
            _ = self.queue.changed() => {}
            () = tokio::time::sleep(POLL) => {}
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
        }
        !*self.stopping.borrow()
    }
}
