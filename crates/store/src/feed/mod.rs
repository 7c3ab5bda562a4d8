//! The CVE feed.

mod apply;
mod whole;

use elivepatch_cve::{
    CveId, Cvss, Dyad, Record, VersionRanges,
    feed::{Entry, Fault},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Store, StoreError,
    row::{from_json, parse_digest},
    time::from_column,
};

pub use whole::WholeFeed;

/// Where the feed in the store comes from, and how old it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedState {
    /// The address, directory or tarball.
    pub source: String,
    /// The commit that was read, of a repository.
    pub revision: Option<String>,
    /// The version of the parser that read it.
    pub parser: u32,
    /// How old its data is: the time of the commit, or of the newest record.
    pub data_at: Timestamp,
    /// When it was read.
    pub read_at: Timestamp,
    /// When something in it was last another one than before.
    pub changed_at: Timestamp,
}

/// How much of a feed is in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedExtent {
    /// All of it: what is not in the snapshot is not in the feed any more.
    Whole,
    /// What has changed.
    Changes,
}

/// What reading the feed changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FeedChange {
    /// Records that are new.
    pub added: usize,
    /// Records that are other ones than before.
    pub changed: usize,
    /// Records that are not there any more. One that cannot be used any more stays as it was.
    pub removed: usize,
}

/// How many records there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FeedCounts {
    /// CVEs, those among them whose newest record cannot be used.
    pub published: u64,
    /// What was rejected.
    pub rejected: u64,
    /// Records that cannot be used.
    pub faulty: u64,
}

/// What is known of a CVE, without the texts that only people read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CveFacts {
    /// Its name.
    pub id: CveId,
    /// What it is about, in one line.
    pub title: String,
    /// Whether it was rejected.
    #[serde(skip)]
    pub rejected: bool,
    /// How bad it is, when somebody has judged that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
    /// The files that the fix changes in mainline.
    pub program_files: Vec<String>,
    /// Where the flaw came in and where it is fixed.
    pub dyads: Vec<Dyad>,
}

/// The rest of a record.
#[derive(Debug, Serialize, Deserialize)]
struct CveTexts {
    description: String,
    ranges: Vec<VersionRanges>,
}

impl FeedChange {
    /// Whether something is another than before.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

impl Store {
    /// Where the feed comes from; `None` when none was read yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed_state(&self) -> Result<Option<FeedState>, StoreError> {
        let row: Option<(String, Option<String>, u32, i64, i64, i64)> = sqlx::query_as(
            "SELECT source, revision, parser, data_at, read_at, changed_at FROM feed",
        )
        .fetch_optional(&self.readers)
        .await?;
        let state = |(source, revision, parser, data_at, read_at, changed_at)| {
            let (data_at, read_at) = (from_column(data_at)?, from_column(read_at)?);
            let changed_at = from_column(changed_at)?;
            Ok(FeedState { source, revision, parser, data_at, read_at, changed_at })
        };
        row.map(state).transpose()
    }

    /// How many records of the feed there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed_counts(&self) -> Result<FeedCounts, StoreError> {
        let row: Option<(i64, i64, i64)> =
            sqlx::query_as("SELECT published, rejected, faulty FROM feed")
                .fetch_optional(&self.readers)
                .await?;
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        Ok(row.map_or_else(FeedCounts::default, |(published, rejected, faulty)| FeedCounts {
            published: count(published),
            rejected: count(rejected),
            faulty: count(faulty),
        }))
    }

    /// The records that cannot be used, by the text of their names.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn feed_faults(&self) -> Result<Vec<Fault>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, what FROM feed_faults ORDER BY id")
                .fetch_all(&self.readers)
                .await?;
        rows.into_iter().map(|(id, what)| Ok(Fault { id: name(&id)?, what })).collect()
    }

    /// The facts of all CVEs, by the text of their names.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn cve_facts(&self) -> Result<Vec<CveFacts>, StoreError> {
        let rows: Vec<(bool, String)> =
            sqlx::query_as("SELECT rejected, facts FROM cves ORDER BY id")
                .fetch_all(&self.readers)
                .await?;
        let facts = |(rejected, facts): (bool, String)| {
            let facts: CveFacts = from_json(&facts, "a CVE of the feed")?;
            Ok(CveFacts { rejected, ..facts })
        };
        rows.into_iter().map(facts).collect()
    }

    /// All that is known of a CVE.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn cve(&self, id: CveId) -> Result<Option<Entry>, StoreError> {
        let row: Option<(bool, String, String, String)> = sqlx::query_as(
            "SELECT rejected, digest, facts, texts FROM cves JOIN cve_texts USING (id) WHERE id = ?",
        )
        .bind(id.to_string())
        .fetch_optional(&self.readers)
        .await?;
        let Some((rejected, digest, facts, texts)) = row else { return Ok(None) };
        let what = format!("{id} of the feed");
        let facts: CveFacts = from_json(&facts, &what)?;
        let CveTexts { description, ranges } = from_json(&texts, &what)?;
        let CveFacts { title, cvss, program_files, dyads, .. } = facts;
        let record = Record { id, title, description, program_files, cvss, ranges };
        Ok(Some(Entry { record, rejected, dyads, digest: parse_digest(&digest, &what)? }))
    }
}

fn name(text: &str) -> Result<CveId, StoreError> {
    text.parse().map_err(|error| StoreError::corrupt("the name of a CVE", Box::new(error)))
}
