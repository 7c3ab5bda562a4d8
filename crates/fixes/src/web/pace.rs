use std::{sync::Mutex, time::Duration};

use tokio::time::{Instant, sleep_until};

/// Keeps questions apart, whoever asks them.
#[derive(Debug)]
pub(super) struct Pace {
    apart: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(per_second: f64) -> Self {
        Self { apart: Duration::from_secs_f64(1.0 / per_second), next: Mutex::default() }
    }

    /// Waits until the next question may be asked.
    pub(super) async fn turn(&self) {
        let at = {
            let mut next = self.next.lock().expect("no holder of the lock panics");
            let now = Instant::now();
            let at = next.map_or(now, |next| next.max(now));
            *next = Some(at + self.apart);
            at
        };
        sleep_until(at).await;
    }
}
