//! All that is in a feed at one time.

use std::collections::BTreeMap;

use elivepatch_model::{Sha256Digest, with_causes};
use serde::{Deserialize, Serialize};

use super::{FeedFile, Folder, Part};
use crate::{CveId, Dyad, Record, parse_dyads};

/// The version of what is made of a record's files. Another one makes every record another than before, so
/// that a new program reads all again: raise it with each change of what is read.
pub const PARSER: u32 = 1;

/// A CVE in the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What its record says.
    pub record: Record,
    /// Whether it was rejected: it is no CVE, or not any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
    /// Where the flaw came in and where it is fixed.
    pub dyads: Vec<Dyad>,
    /// A digest of the files that it was read from, and of [`PARSER`].
    pub digest: Sha256Digest,
}

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
    pub entries: Vec<Entry>,
    /// Those that cannot be used, sorted.
    pub faults: Vec<Fault>,
    /// Those that were asked for and of which there is nothing, sorted.
    pub gone: Vec<CveId>,
    /// When the newest file of it was changed, in seconds since 1970, as far as that is known.
    pub newest: Option<i64>,
}

/// Puts files of a feed together, in whatever order they come.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    files: BTreeMap<CveId, Files>,
}

#[derive(Debug, Default)]
struct Files {
    folder: Option<Folder>,
    json: Option<Result<Record, String>>,
    dyads: Option<Result<Vec<Dyad>, String>>,
    digests: BTreeMap<&'static str, Sha256Digest>,
}

impl SnapshotBuilder {
    /// Adds a file.
    pub fn add(&mut self, file: FeedFile, content: &[u8]) {
        let files = self.of(file);
        match file.part {
            Part::Json => {
                files.digests.insert("json", Sha256Digest::of(content));
                let record = Record::parse(file.id, content);
                files.json = Some(record.map_err(|error| with_causes(&error)));
            }
            Part::Dyad => {
                files.digests.insert("dyad", Sha256Digest::of(content));
                let text = std::str::from_utf8(content).map_err(|error| error.to_string());
                let dyads = text.and_then(|text| {
                    parse_dyads(text).map_err(|error| format!("its dyads: {error}"))
                });
                files.dyads = Some(dyads);
            }
        }
    }

    /// Adds a file that cannot be read.
    pub fn add_unreadable(&mut self, file: FeedFile, why: &str) {
        let files = self.of(file);
        match file.part {
            Part::Json => files.json = Some(Err(why.to_owned())),
            Part::Dyad => files.dyads = Some(Err(why.to_owned())),
        }
    }

    /// Notes that a CVE is asked for, whether or not there are files of it.
    pub fn expect(&mut self, id: CveId) {
        self.files.entry(id).or_default();
    }

    /// The files of a CVE. What was rejected after it was published lies in both directories while a feed
    /// is updated: it is rejected.
    fn of(&mut self, file: FeedFile) -> &mut Files {
        let files = self.files.entry(file.id).or_default();
        files.folder = files.folder.max(Some(file.folder));
        files
    }

    /// What was put together.
    pub fn finish(self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (id, files) in self.files {
            if files.folder.is_none() {
                snapshot.gone.push(id);
                continue;
            }
            match files.finish() {
                Ok(entry) => snapshot.entries.push(entry),
                Err(what) => snapshot.faults.push(Fault { id, what }),
            }
        }
        snapshot
    }
}

impl Files {
    fn finish(self) -> Result<Entry, String> {
        let rejected = self.folder == Some(Folder::Rejected);
        let record = self.json.unwrap_or_else(|| Err("it has no record".to_owned()))?;
        // A rejected one needs none.
        let dyads = match (self.dyads, rejected) {
            (Some(dyads), false) => dyads?,
            (None, false) => return Err("it has no dyads".to_owned()),
            (dyads, true) => dyads.and_then(Result::ok).unwrap_or_default(),
        };
        let text: String =
            self.digests.iter().map(|(part, digest)| format!("{part} {digest}\n")).collect();
        Ok(Entry { record, rejected, dyads, digest: digest(PARSER, rejected, &text) })
    }
}

fn digest(parser: u32, rejected: bool, text: &str) -> Sha256Digest {
    Sha256Digest::of(format!("{parser} {rejected} {text}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        builder.finish()
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
        let [rejected, published] = &snapshot.entries[..] else { panic!("{snapshot:?}") };
        assert!(rejected.rejected && rejected.dyads.is_empty());
        assert!(!published.rejected && published.dyads.len() == 1);
    }

    #[test]
    fn what_is_in_both_directories_is_rejected() {
        let text = record("CVE-2026-1111");
        for order in [["published", "rejected"], ["rejected", "published"]] {
            let paths = order.map(|folder| format!("{folder}/2026/CVE-2026-1111.json"));
            let found = snapshot(&[(&paths[0], &text), (&paths[1], &text)]);
            assert!(found.entries[0].rejected, "{order:?}");
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
        assert_eq!(found.entries, []);
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
            snapshot(&[(&json, &text), (&dyad, dyads)]).entries[0].digest
        };
        assert_eq!(digest("published", &a), digest("published", &a));
        assert_ne!(digest("published", &a), digest("published", &b));
        assert_ne!(digest("published", &a), digest("rejected", &a));
        assert_ne!(super::digest(PARSER, false, "x"), super::digest(PARSER + 1, false, "x"));
    }
}
