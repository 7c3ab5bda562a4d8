//! All that is in a feed at one time.

use std::collections::HashMap;

use elivepatch_model::{Sha256Digest, with_causes};
use serde::{Deserialize, Serialize};

use super::{
    Entries, FeedFile, Folder, Part, SpoolError,
    entries::Indexed,
    spool::{Place, Spool},
};
use crate::{CveId, Record, parse_dyads};

/// The version of what is made of a record's files. Another one makes every record another than before, so
/// that a new program reads all again: raise it with each change of what is read.
pub const PARSER: u32 = 1;

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The CVE.
    pub id: CveId,
    /// What is wrong with it, in one line.
    pub what: String,
}

/// A feed that was read.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The CVEs, sorted.
    pub entries: Entries,
    /// Those that cannot be used, sorted.
    pub faults: Vec<Fault>,
    /// Those that were asked for and of which there is nothing, sorted.
    pub gone: Vec<CveId>,
    /// When the newest file of it was changed, in seconds since 1970, as far as that is known.
    pub newest: Option<i64>,
}

/// Puts files of a feed together, in whatever order they come. What they say waits in a file.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    files: Vec<(CveId, Files)>,
    /// Where in that list a CVE is. The files themselves in a map would take twice the memory.
    places: HashMap<CveId, usize>,
    spool: Spool,
    /// Why what comes is not kept any more.
    broken: Option<SpoolError>,
}

#[derive(Debug, Default)]
struct Files {
    folder: Option<Folder>,
    json: Content,
    dyads: Content,
}

/// What is known of a file.
#[derive(Debug, Default)]
struct Content {
    /// Of its bytes, as far as they could be read.
    digest: Option<Sha256Digest>,
    /// What it says, or why it cannot be used; `None`: it is not there.
    said: Option<Result<Place, Box<str>>>,
}

impl SnapshotBuilder {
    /// Adds a file.
    pub fn add(&mut self, file: FeedFile, content: &[u8]) {
        let said = match file.part {
            Part::Json => match Record::parse(file.id, content) {
                Ok(record) => self.keep(&record),
                Err(error) => Err(with_causes(&error).into()),
            },
            Part::Dyad => {
                let text = std::str::from_utf8(content).map_err(|error| error.to_string());
                let dyads = text.and_then(|text| {
                    parse_dyads(text).map_err(|error| format!("its dyads: {error}"))
                });
                dyads.map_err(String::into).and_then(|dyads| self.keep(&dyads))
            }
        };
        *self.of(file) = Content { digest: Some(Sha256Digest::of(content)), said: Some(said) };
    }

    /// Adds a file that cannot be read.
    pub fn add_unreadable(&mut self, file: FeedFile, why: &str) {
        self.of(file).said = Some(Err(why.into()));
    }

    /// Puts away what a file says. That there is no room for it is told of all at the end.
    fn keep(&mut self, value: &impl Serialize) -> Result<Place, Box<str>> {
        if self.broken.is_none() {
            match self.spool.put(value) {
                Ok(place) => return Ok(place),
                Err(error) => self.broken = Some(error),
            }
        }
        Err("it could not be kept".into())
    }

    /// Notes that a CVE is asked for, whether or not there are files of it.
    pub fn expect(&mut self, id: CveId) {
        self.files_of(id);
    }

    fn files_of(&mut self, id: CveId) -> &mut Files {
        let place = *self.places.entry(id).or_insert_with(|| {
            self.files.push((id, Files::default()));
            self.files.len() - 1
        });
        &mut self.files[place].1
    }

    /// What is known of a file. What was rejected after it was published lies in both directories while a
    /// feed is updated: it is rejected.
    fn of(&mut self, file: FeedFile) -> &mut Content {
        let files = self.files_of(file.id);
        files.folder = files.folder.max(Some(file.folder));
        match file.part {
            Part::Json => &mut files.json,
            Part::Dyad => &mut files.dyads,
        }
    }

    /// What was put together.
    ///
    /// # Errors
    /// When what the files say could not be kept.
    pub fn finish(self) -> Result<Snapshot, SpoolError> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let mut snapshot = Snapshot::default();
        let mut index = Vec::new();
        let mut all = self.files;
        all.sort_unstable_by_key(|(id, _)| *id);
        for (id, files) in all {
            if files.folder.is_none() {
                snapshot.gone.push(id);
                continue;
            }
            match files.finish(id) {
                Ok(indexed) => index.push(indexed),
                Err(what) => snapshot.faults.push(Fault { id, what: what.into() }),
            }
        }
        snapshot.entries = Entries::new(index, self.spool.finish()?);
        Ok(snapshot)
    }
}

impl Files {
    fn finish(self, id: CveId) -> Result<Indexed, Box<str>> {
        let rejected = self.folder == Some(Folder::Rejected);
        let record = self.json.said.unwrap_or_else(|| Err("it has no record".into()))?;
        // A rejected one needs none.
        let dyads = match (self.dyads.said, rejected) {
            (Some(dyads), false) => Some(dyads?),
            (None, false) => return Err("it has no dyads".into()),
            (dyads, true) => dyads.and_then(Result::ok),
        };
        let parts = [("dyad", self.dyads.digest), ("json", self.json.digest)];
        let parts = parts.into_iter().filter_map(|(part, digest)| Some((part, digest?)));
        let text: String = parts.map(|(part, digest)| format!("{part} {digest}\n")).collect();
        let digest = digest(PARSER, rejected, &text);
        Ok(Indexed { id, rejected, digest, record, dyads, file: 0 })
    }
}

fn digest(parser: u32, rejected: bool, text: &str) -> Sha256Digest {
    Sha256Digest::of(format!("{parser} {rejected} {text}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Entry;

    const HASH: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

    fn record(id: &str) -> String {
        format!(
            "{{\"containers\": {{\"cna\": {{\"title\": \"x\"}}}}, \"cveMetadata\": {{\"cveId\": {id:?}}}}}"
        )
    }

    fn snapshot(files: &[(&str, &str)]) -> Snapshot {
        let mut builder = SnapshotBuilder::default();
        for (path, text) in files {
            builder.add(FeedFile::of(path).expect("a file of the feed"), text.as_bytes());
        }
        builder.finish().expect("there is room")
    }

    fn entries(snapshot: &Snapshot) -> Vec<Entry> {
        snapshot.entries.load().expect("it was kept")
    }

    #[test]
    fn record_and_dyads_come_together_and_the_directory_says_what_is_rejected() {
        let (one, two) = (record("CVE-2026-1111"), record("CVE-2024-2222"));
        let dyads = format!("6.1:{HASH}:0:0\n");
        let snapshot = snapshot(&[
            ("published/2026/CVE-2026-1111.dyad", &dyads),
            ("rejected/2024/CVE-2024-2222.json", &two),
            ("published/2026/CVE-2026-1111.json", &one),
        ]);
        assert_eq!(snapshot.faults, []);
        let [rejected, published] = &entries(&snapshot)[..] else { panic!("{snapshot:?}") };
        assert!(rejected.rejected && rejected.dyads.is_empty());
        assert!(!published.rejected && published.dyads.len() == 1);
    }

    #[test]
    fn what_is_in_both_directories_is_rejected() {
        let text = record("CVE-2026-1111");
        for order in [["published", "rejected"], ["rejected", "published"]] {
            let paths = order.map(|folder| format!("{folder}/2026/CVE-2026-1111.json"));
            let found = snapshot(&[(&paths[0], &text), (&paths[1], &text)]);
            assert!(entries(&found)[0].rejected, "{order:?}");
        }
    }

    #[test]
    fn malformed_and_incomplete_records_are_faults_with_a_reason() {
        let (one, other) = (record("CVE-2026-1111"), record("CVE-2026-9999"));
        let found = snapshot(&[
            ("published/2026/CVE-2026-1111.json", &one),
            ("published/2026/CVE-2026-1112.json", "{"),
            ("published/2026/CVE-2026-1113.json", &other),
            ("published/2026/CVE-2026-1114.dyad", "4.20\n"),
        ]);
        assert!(found.entries.is_empty());
        let told: Vec<String> =
            found.faults.iter().map(|f| format!("{} {}", f.id, f.what)).collect();
        assert_eq!(told[0], "CVE-2026-1111 it has no dyads");
        assert!(told[1].starts_with("CVE-2026-1112 it is no CVE record: EOF"), "{told:?}");
        assert_eq!(told[2], "CVE-2026-1113 it is the record of CVE-2026-9999");
        assert_eq!(told[3], "CVE-2026-1114 it has no record");
    }

    #[test]
    fn digest_changes_with_each_file_and_with_rejection() {
        let text = record("CVE-2026-1111");
        let (a, b) = (format!("6.1:{HASH}:0:0\n"), format!("6.2:{HASH}:0:0\n"));
        let digest = |folder: &str, dyads: &str| {
            let json = format!("{folder}/2026/CVE-2026-1111.json");
            let dyad = format!("{folder}/2026/CVE-2026-1111.dyad");
            entries(&snapshot(&[(&json, &text), (&dyad, dyads)]))[0].digest
        };
        assert_eq!(digest("published", &a), digest("published", &a));
        assert_ne!(digest("published", &a), digest("published", &b));
        assert_ne!(digest("published", &a), digest("rejected", &a));
        assert_ne!(super::digest(PARSER, false, "x"), super::digest(PARSER + 1, false, "x"));
    }
}
