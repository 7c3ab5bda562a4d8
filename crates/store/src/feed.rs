//! The CVE feed.

use std::collections::HashMap;

use elivepatch_cve::{
    CveId, Cvss, Dyad, Record, VersionRanges,
    feed::{Entry, Fault, Snapshot},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, Transaction};

use crate::{
    Store, StoreError,
    row::{from_json, parse_digest, to_json},
    time::from_column,
};

/// Where the feed in the store comes from, and how old it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedState {
    /// The address, directory or tarball.
    pub source: String,
    /// The commit that was read, of a repository.
    pub revision: Option<String>,
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
    /// Records that are not there any more, or cannot be read any more.
    pub removed: usize,
}

/// How many records there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FeedCounts {
    /// CVEs.
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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
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
    /// Takes over what was read of a feed, all of it or nothing. `state` says when it was read; when
    /// nothing has changed, the time of the last change stays what it was.
    ///
    /// # Errors
    /// When the database fails or the disk is full.
    pub async fn apply_feed(
        &self,
        snapshot: &Snapshot,
        extent: FeedExtent,
        state: &FeedState,
    ) -> Result<FeedChange, StoreError> {
        let mut transaction = self.write().await?;
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, digest FROM cves").fetch_all(&mut *transaction).await?;
        let mut before: HashMap<String, String> = rows.into_iter().collect();
        let mut change = FeedChange::default();
        for entry in &snapshot.entries {
            let digest = entry.digest.to_string();
            match before.remove(&entry.record.id.to_string()) {
                Some(old) if old == digest => continue,
                Some(_) => change.changed += 1,
                None => change.added += 1,
            }
            put(&mut transaction, entry, &digest).await?;
        }
        let faulty = snapshot.faults.iter().map(|fault| fault.id);
        let mut removed: Vec<String> = match extent {
            FeedExtent::Whole => before.into_keys().collect(),
            FeedExtent::Changes => {
                let gone = snapshot.gone.iter().copied().chain(faulty);
                gone.map(|id| id.to_string()).filter(|id| before.contains_key(id)).collect()
            }
        };
        removed.sort_unstable();
        change.removed = removed.len();
        for id in &removed {
            remove(&mut transaction, "DELETE FROM cves WHERE id = ?", id).await?;
        }
        note_faults(&mut transaction, snapshot, extent).await?;
        note_state(&mut transaction, state, change.is_any()).await?;
        transaction.commit().await?;
        Ok(change)
    }

    /// Where the feed comes from; `None` when none was read yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed_state(&self) -> Result<Option<FeedState>, StoreError> {
        let row: Option<(String, Option<String>, i64, i64)> =
            sqlx::query_as("SELECT source, revision, read_at, changed_at FROM feed")
                .fetch_optional(&self.readers)
                .await?;
        let state = |(source, revision, read_at, changed_at)| {
            let (read_at, changed_at) = (from_column(read_at)?, from_column(changed_at)?);
            Ok(FeedState { source, revision, read_at, changed_at })
        };
        row.map(state).transpose()
    }

    /// How many records of the feed there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed_counts(&self) -> Result<FeedCounts, StoreError> {
        let (all, rejected, faulty): (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM cves),
                    (SELECT COUNT(*) FROM cves WHERE facts ->> '$.rejected'),
                    (SELECT COUNT(*) FROM feed_faults)",
        )
        .fetch_one(&self.readers)
        .await?;
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        let (rejected, faulty) = (count(rejected), count(faulty));
        Ok(FeedCounts { published: count(all) - rejected, rejected, faulty })
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
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT facts FROM cves ORDER BY id").fetch_all(&self.readers).await?;
        rows.iter().map(|(facts,)| from_json(facts, "a CVE of the feed")).collect()
    }

    /// All that is known of a CVE.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn cve(&self, id: CveId) -> Result<Option<Entry>, StoreError> {
        let row: Option<(String, String, String)> =
            sqlx::query_as("SELECT digest, facts, texts FROM cves WHERE id = ?")
                .bind(id.to_string())
                .fetch_optional(&self.readers)
                .await?;
        let Some((digest, facts, texts)) = row else { return Ok(None) };
        let what = format!("{id} of the feed");
        let facts: CveFacts = from_json(&facts, &what)?;
        let CveTexts { description, ranges } = from_json(&texts, &what)?;
        let CveFacts { title, rejected, cvss, program_files, dyads, .. } = facts;
        let record = Record { id, title, description, program_files, cvss, ranges };
        Ok(Some(Entry { record, rejected, dyads, digest: parse_digest(&digest, &what)? }))
    }
}

fn name(text: &str) -> Result<CveId, StoreError> {
    text.parse().map_err(|error| StoreError::corrupt("the name of a CVE", Box::new(error)))
}

async fn put(
    transaction: &mut Transaction<'_, Sqlite>,
    entry: &Entry,
    digest: &str,
) -> Result<(), StoreError> {
    let Record { id, title, description, program_files, cvss, ranges } = &entry.record;
    let facts = CveFacts {
        id: *id,
        title: title.clone(),
        rejected: entry.rejected,
        cvss: cvss.clone(),
        program_files: program_files.clone(),
        dyads: entry.dyads.clone(),
    };
    let texts = CveTexts { description: description.clone(), ranges: ranges.clone() };
    sqlx::query("INSERT OR REPLACE INTO cves (id, digest, facts, texts) VALUES (?, ?, ?, ?)")
        .bind(id.to_string())
        .bind(digest)
        .bind(to_json(&facts))
        .bind(to_json(&texts))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn remove(
    transaction: &mut Transaction<'_, Sqlite>,
    statement: &'static str,
    id: &str,
) -> Result<(), StoreError> {
    sqlx::query(statement).bind(id).execute(&mut **transaction).await?;
    Ok(())
}

/// Notes which records cannot be used; what was read or is gone is no fault any more.
async fn note_faults(
    transaction: &mut Transaction<'_, Sqlite>,
    snapshot: &Snapshot,
    extent: FeedExtent,
) -> Result<(), StoreError> {
    if extent == FeedExtent::Whole {
        sqlx::query("DELETE FROM feed_faults").execute(&mut **transaction).await?;
    } else {
        let read = snapshot.entries.iter().map(|entry| entry.record.id);
        for id in read.chain(snapshot.gone.iter().copied()) {
            remove(transaction, "DELETE FROM feed_faults WHERE id = ?", &id.to_string()).await?;
        }
    }
    for Fault { id, what } in &snapshot.faults {
        sqlx::query("INSERT OR REPLACE INTO feed_faults (id, what) VALUES (?, ?)")
            .bind(id.to_string())
            .bind(what)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

async fn note_state(
    transaction: &mut Transaction<'_, Sqlite>,
    state: &FeedState,
    is_changed: bool,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO feed (id, source, revision, read_at, changed_at) VALUES (1, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET source = excluded.source, revision = excluded.revision,
             read_at = excluded.read_at,
             changed_at = CASE WHEN ? THEN excluded.changed_at ELSE changed_at END",
    )
    .bind(&state.source)
    .bind(&state.revision)
    .bind(state.read_at.as_microsecond())
    .bind(state.changed_at.as_microsecond())
    .bind(is_changed)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
