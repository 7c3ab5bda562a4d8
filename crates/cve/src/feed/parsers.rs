//! Reading on one core while the others parse.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use super::{
    FeedFile, Snapshot, SnapshotBuilder, SpoolError,
    waiting::{Share, Waiting},
};
use crate::CveId;

/// How many files may wait for each parser: enough that nobody waits.
const WAITING: usize = 16;

/// How many bytes of files may wait in all: those that wait are far from it, unless somebody has made them
/// as large as they may be.
const WAITING_BYTES: usize = 32 << 20;

/// What a feed may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// CVEs.
    pub records: usize,
    /// Bytes of the files that are read.
    pub bytes: u64,
}

/// What is read at most, of whatever kind of source: the feed of 2026 has 15,000 records and 0.16 GB.
const LIMITS: Limits = Limits { records: 100_000, bytes: 4 << 30 };

/// A feed that is larger than any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// It has too many records.
    #[error("it has more than {0} records")]
    Records(usize),
    /// Its files are too large together.
    #[error("its records have more than {0} bytes")]
    Bytes(u64),
}

/// Takes the files of a feed as they are read.
pub(super) struct Sink {
    parsers: Vec<SyncSender<Message>>,
    waiting: Arc<Waiting>,
    limits: Limits,
    ids: RefCell<HashSet<CveId>>,
    bytes: Cell<u64>,
    newest: Cell<Option<i64>>,
}

enum Message {
    File(FeedFile, Vec<u8>, Share),
    Unreadable(FeedFile, String),
    Expected(CveId),
}

impl Sink {
    /// Takes a file.
    ///
    /// # Errors
    /// When that is more than any feed has.
    pub(super) fn add(&self, file: FeedFile, content: Vec<u8>) -> Result<(), LimitError> {
        self.count(file.id)?;
        let bytes = self.bytes.get() + content.len() as u64;
        if bytes > self.limits.bytes {
            return Err(LimitError::Bytes(self.limits.bytes));
        }
        self.bytes.set(bytes);
        let share = self.waiting.take(content.len());
        self.send(file.id, Message::File(file, content, share));
        Ok(())
    }

    /// Takes a file that cannot be read.
    ///
    /// # Errors
    /// When that is more than any feed has.
    pub(super) fn add_unreadable(&self, file: FeedFile, why: &str) -> Result<(), LimitError> {
        self.count(file.id)?;
        self.send(file.id, Message::Unreadable(file, why.to_owned()));
        Ok(())
    }

    /// Takes a CVE that is asked for, whether or not there are files of it.
    ///
    /// # Errors
    /// When that is more than any feed has.
    pub(super) fn expect(&self, id: CveId) -> Result<(), LimitError> {
        self.count(id)?;
        self.send(id, Message::Expected(id));
        Ok(())
    }

    /// Notes when something in the feed was changed, in seconds since 1970.
    pub(super) fn note_time(&self, seconds: i64) {
        self.newest.set(self.newest.get().max(Some(seconds)));
    }

    fn count(&self, id: CveId) -> Result<(), LimitError> {
        let mut ids = self.ids.borrow_mut();
        ids.insert(id);
        let most = self.limits.records;
        if ids.len() > most { Err(LimitError::Records(most)) } else { Ok(()) }
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
/// Those of `read`; within, that what was read cannot be kept.
pub(super) fn snapshot_of<E>(
    read: impl FnOnce(&Sink) -> Result<(), E>,
) -> Result<Result<Snapshot, SpoolError>, E> {
    snapshot_within(LIMITS, read)
}

fn snapshot_within<E>(
    limits: Limits,
    read: impl FnOnce(&Sink) -> Result<(), E>,
) -> Result<Result<Snapshot, SpoolError>, E> {
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
                        Message::File(file, content, _share) => builder.add(file, &content),
                        Message::Unreadable(file, why) => builder.add_unreadable(file, &why),
                        Message::Expected(id) => builder.expect(id),
                    }
                }
                builder.finish()
            }));
        }
        let sink = Sink {
            parsers,
            waiting: Waiting::new(WAITING_BYTES),
            limits,
            ids: RefCell::default(),
            bytes: Cell::default(),
            newest: Cell::default(),
        };
        let outcome = read(&sink);
        let newest = sink.newest.get();
        drop(sink);
        let parts = threads
            .into_iter()
            .map(|parser| parser.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let parts: Vec<Result<Snapshot, SpoolError>> = parts.collect();
        outcome.map(|()| together(parts, newest))
    })
}

/// Puts together what each parser has.
fn together(
    parts: Vec<Result<Snapshot, SpoolError>>,
    newest: Option<i64>,
) -> Result<Snapshot, SpoolError> {
    let mut snapshot = Snapshot { newest, ..Snapshot::default() };
    for part in parts {
        let part = part?;
        snapshot.entries.append(part.entries);
        snapshot.faults.extend(part.faults);
        snapshot.gone.extend(part.gone);
    }
    snapshot.faults.sort_by_key(|fault| fault.id);
    snapshot.gone.sort_unstable();
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Part;

    fn file(number: u32) -> FeedFile {
        let path = format!("published/2026/CVE-2026-{number}.json");
        FeedFile::of(&path).expect("a file of the feed")
    }

    #[test]
    fn feed_that_is_larger_than_any_is_refused() {
        let limits = Limits { records: 2, bytes: 10 };
        let read = |files: &[(u32, usize)]| {
            let all = |sink: &Sink| {
                files
                    .iter()
                    .try_for_each(|(number, bytes)| sink.add(file(*number), vec![0; *bytes]))
            };
            snapshot_within(limits, all).map(|snapshot| snapshot.expect("kept").faults.len())
        };
        assert_eq!(read(&[(1001, 5), (1002, 3), (1001, 2)]), Ok(2));
        assert_eq!(read(&[(1001, 5), (1002, 6)]), Err(LimitError::Bytes(10)));
        assert_eq!(read(&[(1001, 1), (1002, 1), (1003, 1)]), Err(LimitError::Records(2)));
        let expected = snapshot_within(limits, |sink| {
            (1001..1010).try_for_each(|number| sink.expect(file(number).id))
        });
        assert_eq!(expected.map(|_| ()), Err(LimitError::Records(2)));
    }

    #[test]
    fn what_each_parser_has_comes_together_in_order() {
        let record = |id: CveId| {
            format!(
                "{{\"containers\": {{\"cna\": {{\"title\": \"of {id}\"}}}}, \"cveMetadata\": {{\"cveId\": \
                 \"{id}\"}}}}"
            )
        };
        let numbers = [1007, 1002, 1005, 1001, 1004, 1008, 1003, 1006];
        let read = |sink: &Sink| {
            for number in numbers {
                let file = file(number);
                sink.add(FeedFile { part: Part::Dyad, ..file }, Vec::new())?;
                sink.add(file, record(file.id).into_bytes())?;
            }
            Ok::<_, LimitError>(())
        };
        let snapshot = snapshot_of(read).expect("within the limits").expect("kept");
        let entries = snapshot.entries.load().expect("kept");
        let titles: Vec<String> = entries.into_iter().map(|entry| entry.record.title).collect();
        let expected = (1001..=1008).map(|number| format!("of CVE-2026-{number}"));
        assert_eq!(titles, expected.collect::<Vec<_>>());
    }

    #[test]
    fn newest_time_is_kept() {
        let read = |sink: &Sink| {
            [3, 7, 5].into_iter().for_each(|seconds| sink.note_time(seconds));
            Ok::<_, LimitError>(())
        };
        assert_eq!(snapshot_of(read).map(|snapshot| snapshot.expect("kept").newest), Ok(Some(7)));
    }
}
