//! The CVE feed.

mod apply;
mod whole;

use elivepatch_cve::{
    CveId, Cvss, Dyad, Record, VersionRanges,
    feed::{Entry, Fault},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Sqlite};

use crate::{
    Store, StoreError,
    row::{from_json, parse_digest},
    time::from_column,
};

pub use whole::WholeFeed;

/// How many names are in one statement: SQLite allows 32,766 values.
const IDS_AT_ONCE: usize = 1000;

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

/// The one row of the feed.
#[derive(sqlx::FromRow)]
struct FeedRow {
    source: String,
    revision: Option<String>,
    parser: u32,
    data_at: i64,
    read_at: i64,
    changed_at: i64,
    published: i64,
    rejected: i64,
    faulty: i64,
}

impl FeedRow {
    fn into_parts(self) -> Result<(FeedState, FeedCounts), StoreError> {
        let state = FeedState {
            source: self.source,
            revision: self.revision,
            parser: self.parser,
            data_at: from_column(self.data_at)?,
            read_at: from_column(self.read_at)?,
            changed_at: from_column(self.changed_at)?,
        };
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        let counts = FeedCounts {
            published: count(self.published),
            rejected: count(self.rejected),
            faulty: count(self.faulty),
        };
        Ok((state, counts))
    }
}

impl FeedChange {
    /// Whether something is another than before.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

impl Store {
    /// Where the feed comes from, and what there is; `None` when none was read yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed(&self) -> Result<Option<(FeedState, FeedCounts)>, StoreError> {
        let row: Option<FeedRow> = sqlx::query_as(
            "SELECT source, revision, parser, data_at, read_at, changed_at, published, rejected, faulty
             FROM feed",
        )
        .fetch_optional(&self.readers)
        .await?;
        row.map(FeedRow::into_parts).transpose()
    }

    /// Where the feed comes from; `None` when none was read yet.
    ///
    /// # Errors
    /// As of `feed`.
    pub async fn feed_state(&self) -> Result<Option<FeedState>, StoreError> {
        Ok(self.feed().await?.map(|(state, _)| state))
    }

    /// How many records of the feed there are.
    ///
    /// # Errors
    /// As of `feed`.
    pub async fn feed_counts(&self) -> Result<FeedCounts, StoreError> {
        Ok(self.feed().await?.map(|(_, counts)| counts).unwrap_or_default())
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

/// `statement (ID, …)` for each part of some names: a statement of SQLite has a limit of values.
fn chunks<'a>(
    statement: &'static str,
    ids: &'a [String],
) -> impl Iterator<Item = QueryBuilder<Sqlite>> + use<'a> {
    ids.chunks(IDS_AT_ONCE).map(move |ids| {
        let mut query = QueryBuilder::new(statement);
        query.push("(");
        let mut values = query.separated(", ");
        for id in ids {
            values.push_bind(id.as_str());
        }
        query.push(")");
        query
    })
}

fn name(text: &str) -> Result<CveId, StoreError> {
    text.parse().map_err(|error| StoreError::corrupt("the name of a CVE", Box::new(error)))
}
