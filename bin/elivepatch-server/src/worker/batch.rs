use std::collections::VecDeque;

use elivepatch_model::BuildEvent;

/// The most that goes to the server in one request, in bytes as estimated here. The server takes
/// 16 MiB of JSON; escapes make a text up to six times as long.
const BATCH_BYTES: usize = 1024 * 1024;

/// The most that waits while the server does not take it, in bytes; the oldest go first.
const HELD_BYTES: usize = 16 * 1024 * 1024;

/// What an event takes beside its texts, in bytes.
const EVENT_BYTES: usize = 200;

/// Events that wait to be sent, in their order.
#[derive(Debug, Default)]
pub struct Batches {
    events: VecDeque<BuildEvent>,
    bytes: usize,
}

impl Batches {
    /// Adds events at the end, and drops the oldest when there are too many.
    pub fn extend(&mut self, events: impl IntoIterator<Item = BuildEvent>) {
        for event in events {
            self.bytes += size(&event);
            self.events.push_back(event);
        }
        while self.bytes > HELD_BYTES {
            self.drop_first();
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The next request's events; at least one when any waits.
    pub fn next(&self) -> Vec<BuildEvent> {
        let mut room = BATCH_BYTES;
        let fits = |event: &&BuildEvent| {
            let size = size(event);
            let fits = size <= room || room == BATCH_BYTES;
            room = room.saturating_sub(size);
            fits
        };
        self.events.iter().take_while(fits).cloned().collect()
    }

    /// The first `count` events have been taken by the server.
    pub fn sent(&mut self, count: usize) {
        for _ in 0..count {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= size(&event);
        }
    }
}

fn size(event: &BuildEvent) -> usize {
    let texts = match event {
        BuildEvent::Log { line, .. } => line.len(),
        BuildEvent::Progress { what, unit, .. } => what.len() + unit.len(),
        BuildEvent::Step { step } => step.summary.as_ref().map_or(0, String::len),
        BuildEvent::State { .. } => 0,
    };
    EVENT_BYTES + texts
}

#[cfg(test)]
mod tests {
    use elivepatch_model::StepName;

    use super::*;

    fn log(size: usize) -> BuildEvent {
        BuildEvent::Log { step: StepName::Compile, line: "x".repeat(size) }
    }

    #[test]
    fn all_is_sent_in_requests_of_a_bounded_size() {
        let mut batches = Batches::default();
        let events: Vec<_> = (0..3000).map(|index| log(index % 2000)).collect();
        batches.extend(events.clone());
        let mut sent = Vec::new();
        while !batches.is_empty() {
            let next = batches.next();
            assert!(!next.is_empty() && next.iter().map(size).sum::<usize>() <= BATCH_BYTES);
            batches.sent(next.len());
            sent.extend(next);
        }
        assert_eq!(sent, events);
        assert_eq!(batches.bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_is_kept() {
        let mut batches = Batches::default();
        for _ in 0..40 {
            batches.extend([log(BATCH_BYTES)]);
        }
        batches.extend([log(7)]);
        assert!(batches.bytes <= HELD_BYTES);
        assert_eq!(batches.events.back(), Some(&log(7)));
        assert_eq!(batches.next(), [log(BATCH_BYTES)], "one that is too large goes alone");
    }
}
