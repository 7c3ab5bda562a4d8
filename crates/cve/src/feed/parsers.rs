//! Reading on one core while the others parse.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use super::{FeedFile, Snapshot, SnapshotBuilder};
use crate::CveId;

/// How many files may wait for each parser: enough that nobody waits, and a few megabytes at most.
const WAITING: usize = 64;

/// Takes the files of a feed as they are read.
pub(super) struct Sink {
    parsers: Vec<SyncSender<Message>>,
}

enum Message {
    File(FeedFile, Vec<u8>),
    Unreadable(FeedFile, String),
    Expected(CveId),
}

impl Sink {
    /// Takes a file.
    pub(super) fn add(&self, file: FeedFile, content: Vec<u8>) {
        self.send(file.id, Message::File(file, content));
    }

    /// Takes a file that cannot be read.
    pub(super) fn add_unreadable(&self, file: FeedFile, why: &str) {
        self.send(file.id, Message::Unreadable(file, why.to_owned()));
    }

    /// Takes a CVE that is asked for, whether or not there are files of it.
    pub(super) fn expect(&self, id: CveId) {
        self.send(id, Message::Expected(id));
    }

    /// All files of a CVE go to one parser.
    fn send(&self, id: CveId, message: Message) {
        let parser = id.number() as usize % self.parsers.len();
        // A parser ends only when it panics, and that is told when all is joined.
        let _ = self.parsers[parser].send(message);
    }
}

/// Runs `read`, which gives the files of a feed to the sink, and puts together what they say.
///
/// # Errors
/// Those of `read`.
pub(super) fn snapshot_of<E>(read: impl FnOnce(&Sink) -> Result<(), E>) -> Result<Snapshot, E> {
    let count = thread::available_parallelism().map_or(1, usize::from).min(8);
    thread::scope(|scope| {
        let (mut parsers, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (sender, receiver) = sync_channel(WAITING);
            parsers.push(sender);
            threads.push(scope.spawn(move || {
                let mut builder = SnapshotBuilder::default();
                for message in receiver {
                    match message {
                        Message::File(file, content) => builder.add(file, &content),
                        Message::Unreadable(file, why) => builder.add_unreadable(file, &why),
                        Message::Expected(id) => builder.expect(id),
                    }
                }
                builder.finish()
            }));
        }
        let sink = Sink { parsers };
        let outcome = read(&sink);
        drop(sink);
        let mut snapshot = Snapshot::default();
        for parser in threads {
            let part = parser.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            snapshot.entries.extend(part.entries);
            snapshot.faults.extend(part.faults);
            snapshot.gone.extend(part.gone);
        }
        snapshot.entries.sort_by_key(|entry| entry.record.id);
        snapshot.faults.sort_by_key(|fault| fault.id);
        snapshot.gone.sort_unstable();
        outcome.map(|()| snapshot)
    })
}
