//! All of the feed, for who carries it elsewhere.

use elivepatch_cve::{
    CveId, Record,
    feed::{Entry, Fault},
};
use sqlx::{Sqlite, Transaction};

use super::{CveFacts, CveTexts, FeedCounts, FeedState, name};
use crate::{
    Store, StoreError,
    row::{from_json, parse_digest},
    time::from_column,
};

/// How many records are read at a time: some 5 kB each.
const AT_A_TIME: u32 = 500;

/// The feed without its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeFeed {
    /// Where it comes from.
    pub state: FeedState,
    /// How many records there are.
    pub counts: FeedCounts,
    /// The records that could not be used; the store may have an older state of them.
    pub faults: Vec<Fault>,
}

/// Source, revision, parser, the three times and the three counts.
type StateRow = (String, Option<String>, u32, i64, i64, i64, i64, i64, i64);

/// Name, whether it was rejected, digest, facts, texts.
type RecordRow = (String, bool, String, String, String);

impl Store {
    /// Reads the whole feed as it is at one time, also while it is updated. `take` gets all records, some at
    /// a time, in the order of the texts of their names. `None` when none was read yet.
    ///
    /// # Errors
    /// When the database fails or is damaged, or `take` fails.
    pub async fn whole_feed<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(Vec<Entry>) -> Result<(), E>,
    ) -> Result<Option<WholeFeed>, E> {
        // What a transaction reads stays the same until it ends.
        let mut transaction = self.readers.begin().await.map_err(StoreError::from)?;
        let Some(whole) = state(&mut transaction).await? else { return Ok(None) };
        let mut last = String::new();
        loop {
            let rows: Vec<RecordRow> = sqlx::query_as(
                "SELECT id, rejected, digest, facts, texts FROM cves JOIN cve_texts USING (id)
                 WHERE id > ? ORDER BY id LIMIT ?",
            )
            .bind(&last)
            .bind(AT_A_TIME)
            .fetch_all(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
            let Some((id, ..)) = rows.last() else { break };
            last.clone_from(id);
            let entries: Result<Vec<Entry>, StoreError> = rows.into_iter().map(entry).collect();
            take(entries?)?;
        }
        Ok(Some(whole))
    }
}

async fn state(transaction: &mut Transaction<'_, Sqlite>) -> Result<Option<WholeFeed>, StoreError> {
    let row: Option<StateRow> = sqlx::query_as(
        "SELECT source, revision, parser, data_at, read_at, changed_at, published, rejected, faulty
         FROM feed",
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let Some((source, revision, parser, data_at, read_at, changed_at, published, rejected, faulty)) =
        row
    else {
        return Ok(None);
    };
    let faults: Vec<(String, String)> =
        sqlx::query_as("SELECT id, what FROM feed_faults ORDER BY id")
            .fetch_all(&mut **transaction)
            .await?;
    let fault = |(id, what): (String, String)| Ok(Fault { id: name(&id)?, what });
    let faults: Result<Vec<Fault>, StoreError> = faults.into_iter().map(fault).collect();
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    Ok(Some(WholeFeed {
        state: FeedState {
            source,
            revision,
            parser,
            data_at: from_column(data_at)?,
            read_at: from_column(read_at)?,
            changed_at: from_column(changed_at)?,
        },
        counts: FeedCounts {
            published: count(published),
            rejected: count(rejected),
            faulty: count(faulty),
        },
        faults: faults?,
    }))
}

fn entry((id, rejected, digest, facts, texts): RecordRow) -> Result<Entry, StoreError> {
    let what = format!("{id} of the feed");
    let id: CveId = name(&id)?;
    let CveFacts { title, cvss, program_files, dyads, .. } = from_json(&facts, &what)?;
    let CveTexts { description, ranges } = from_json(&texts, &what)?;
    let record = Record { id, title, description, program_files, cvss, ranges };
    Ok(Entry { record, rejected, dyads, digest: parse_digest(&digest, &what)? })
}
