//! The CVEs that were read, with what their records say in files.

use std::fs::File;

use elivepatch_model::Sha256Digest;
use serde::{Deserialize, Serialize};

use super::{SpoolError, spool::Place};
use crate::{CveId, Dyad, Record};

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
    /// A digest of the files that it was read from, and of [`PARSER`](super::PARSER).
    pub digest: Sha256Digest,
}

/// The CVEs of a snapshot, sorted. In memory are only names and digests.
#[derive(Debug, Default)]
pub struct Entries {
    index: Vec<Indexed>,
    files: Vec<File>,
}

#[derive(Debug)]
pub(super) struct Indexed {
    pub(super) id: CveId,
    pub(super) rejected: bool,
    pub(super) digest: Sha256Digest,
    pub(super) record: Place,
    pub(super) dyads: Option<Place>,
    /// Which of the files holds it.
    pub(super) file: usize,
}

/// A CVE of a snapshot, which can be read.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    entries: &'a Entries,
    indexed: &'a Indexed,
}

impl Entries {
    pub(super) fn new(index: Vec<Indexed>, file: Option<File>) -> Self {
        Self { index, files: file.into_iter().collect() }
    }

    /// Takes those of another snapshot, which has none of the same CVEs.
    pub(super) fn append(&mut self, other: Self) {
        let before = self.files.len();
        self.files.extend(other.files);
        let moved = |indexed: Indexed| Indexed { file: indexed.file + before, ..indexed };
        self.index.extend(other.index.into_iter().map(moved));
        self.index.sort_unstable_by_key(|indexed| indexed.id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Each of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = Listed<'_>> {
        self.index.iter().map(|indexed| Listed { entries: self, indexed })
    }

    /// All of them with all that they say, for who has the memory: some 5 KB each.
    ///
    /// # Errors
    /// When they cannot be read back.
    pub fn load(&self) -> Result<Vec<Entry>, SpoolError> {
        self.iter().map(Listed::read).collect()
    }
}

impl Listed<'_> {
    /// Its name.
    pub fn id(self) -> CveId {
        self.indexed.id
    }

    /// The digest of [`Entry`].
    pub fn digest(self) -> Sha256Digest {
        self.indexed.digest
    }

    /// All that was read of it.
    ///
    /// # Errors
    /// When it cannot be read back.
    pub fn read(self) -> Result<Entry, SpoolError> {
        let Indexed { rejected, digest, record, dyads, file, .. } = *self.indexed;
        let file = &self.entries.files[file];
        let dyads = dyads.map_or_else(|| Ok(Vec::new()), |dyads| dyads.read(file))?;
        Ok(Entry { record: record.read(file)?, rejected, dyads, digest })
    }
}
