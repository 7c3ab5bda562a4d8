//! When a download is given up that comes in pieces: each attempt goes on where the last one stopped.

use std::time::{Duration, Instant};

/// An attempt that brings less than this, in bytes, is one of few: each costs a connection.
const LITTLE_BYTES: u64 = 64 * 1024;

/// How many attempts may bring little, one after the other.
const LITTLE_ATTEMPTS: u32 = 10;

/// The attempts at one file. A line that drops now and then still gets there; one that brings nothing, or
/// next to nothing each time, does not, and neither does one that takes longer than all attempts may.
#[derive(Debug)]
pub(crate) struct Attempts {
    began: Instant,
    total: Duration,
    little: u32,
}

impl Attempts {
    /// Begins the first one; all of them may take `total`.
    pub(crate) fn begin(total: Duration) -> Self {
        Self { began: Instant::now(), total, little: 0 }
    }

    /// How long the next one may take, at most `longest`.
    pub(crate) fn time_for_next(&self, longest: Duration) -> Duration {
        self.total.saturating_sub(self.began.elapsed()).min(longest)
    }

    /// Whether there may be another one behind one that was broken off and brought so many bytes.
    pub(crate) fn go_on(&mut self, came_bytes: u64) -> bool {
        self.little = if came_bytes < LITTLE_BYTES { self.little + 1 } else { 0 };
        came_bytes > 0 && self.little < LITTLE_ATTEMPTS && !self.is_over()
    }

    /// Whether the time for all of them is over.
    pub(crate) fn is_over(&self) -> bool {
        self.began.elapsed() >= self.total
    }
}
