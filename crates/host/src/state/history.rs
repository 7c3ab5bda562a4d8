use std::{
    fs::OpenOptions,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use elivepatch_model::Sha256Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StateDirectory, directory::Lock};
use crate::HostProblem;

/// How much is kept, in bytes: an event has some 300, and half of it goes when it is full.
const HISTORY_BYTES: u64 = 1024 * 1024;

/// Something that happened on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// The release of the kernel.
    pub release: String,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// A livepatch became active.
    Loaded {
        /// Its module's name.
        name: String,
        /// Its module's digest.
        digest: Sha256Digest,
        /// The names of the fixes in it.
        fixes: Vec<String>,
        /// Whether it was loaded because the machine was started.
        at_boot: bool,
        /// From the call to the end of the transition, in milliseconds.
        took_ms: u64,
    },
    /// A livepatch was taken back.
    Reverted {
        /// Its module's name.
        name: String,
        /// Why; one line.
        reason: String,
    },
    /// Loading a livepatch failed; the machine is as it was.
    Failed {
        /// Its module's name.
        name: String,
        /// Why; one line.
        reason: String,
    },
    /// A livepatch is not loaded again by itself.
    LockedOut {
        /// Its module's digest.
        digest: Sha256Digest,
        /// Why; one line.
        reason: String,
    },
    /// It may be loaded again.
    Unlocked {
        /// Its module's digest.
        digest: Sha256Digest,
    },
}

impl StateDirectory {
    /// Adds an event. It is on the disk then.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, _lock: &Lock, event: &Event) -> Result<(), HostProblem> {
        let mut line = serde_json::to_string(event).expect("plain data");
        line.push('\n');
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let options = options.read(true).append(true).create(true).mode(0o600);
            let mut file = options.open(self.path().join("history.jsonl"))?;
            let size = file.seek(SeekFrom::End(0))?;
            // A power cut may have left half a line.
            let mut last = [b'\n'];
            if size > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            let broken = if last == [b'\n'] { "" } else { "\n" };
            file.write_all(format!("{broken}{line}").as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| self.cannot("write", "history.jsonl", error))?;
        self.shorten_history()
    }

    /// The events, the oldest first. Lines that cannot be read are passed over: half of one may be there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn history(&self) -> Result<Vec<Event>, HostProblem> {
        let text = self.read_file("history.jsonl")?.unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    fn shorten_history(&self) -> Result<(), HostProblem> {
        let Some(text) = self.read_file("history.jsonl")? else { return Ok(()) };
        if text.len() as u64 <= HISTORY_BYTES {
            return Ok(());
        }
        let half = text.len() / 2;
        let begin =
            text[half..].iter().position(|byte| *byte == b'\n').map_or(half, |at| half + at + 1);
        self.put("history.jsonl", &text[begin..])
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn events_come_back_and_half_a_line_spoils_none() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = StateDirectory::at(Some(place.path()));
        let lock = directory.lock().expect("it is free");
        let event = |name: &str| Event {
            at: Timestamp::UNIX_EPOCH,
            release: "6.1".to_owned(),
            kind: EventKind::Reverted { name: name.to_owned(), reason: "asked for".to_owned() },
        };
        assert_eq!(directory.history().expect("none"), []);
        directory.note(&lock, &event("a")).expect("written");
        let path = place.path().join("history.jsonl");
        let mut text = fs::read(&path).expect("there");
        text.extend(b"{\"at\":\"20");
        fs::write(&path, text).expect("own file");
        directory.note(&lock, &event("b")).expect("written");
        assert_eq!(directory.history().expect("two"), [event("a"), event("b")]);

        let long = event(&"x".repeat(200_000));
        for _ in 0..8 {
            directory.note(&lock, &long).expect("written");
        }
        let kept = directory.history().expect("some");
        assert!((2..8).contains(&kept.len()) && kept.iter().all(|event| *event == long));
    }
}
