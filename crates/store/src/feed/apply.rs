use std::collections::{BTreeSet, HashMap, HashSet};

use elivepatch_cve::{
    CveId, Record,
    feed::{Entry, Fault, Listed, Snapshot},
};
use sqlx::{Sqlite, Transaction};

use super::{CveFacts, CveTexts, FeedChange, FeedExtent, FeedState, chunks};
use crate::{Store, StoreError, row::to_json};

/// How many records are written by one statement: most of what a statement costs does not depend on it.
const RECORDS_AT_ONCE: usize = 50;

impl Store {
    /// Takes over what was read of a feed, all of it or nothing. A record that cannot be used any more stays
    /// as it was, and its fault is noted. `state` says when it was read; when nothing has changed, the time of
    /// the last change stays what it was.
    ///
    /// # Errors
    /// When the database fails, the disk is full, or what was read cannot be read back.
    pub async fn apply_feed(
        &self,
        snapshot: &Snapshot,
        extent: FeedExtent,
        state: &FeedState,
    ) -> Result<FeedChange, StoreError> {
        let mut transaction = self.write().await?;
        let mut before = digests(&mut transaction, snapshot, extent).await?;
        let mut change = FeedChange::default();
        let mut others = Vec::new();
        for listed in snapshot.entries.iter() {
            match before.remove(&listed.id().to_string()) {
                Some(old) if old == listed.digest().to_string() => continue,
                Some(_) => change.changed += 1,
                None => change.added += 1,
            }
            others.push(listed);
        }
        for others in others.chunks(RECORDS_AT_ONCE) {
            put(&mut transaction, others).await?;
        }
        for fault in &snapshot.faults {
            before.remove(&fault.id.to_string());
        }
        let removed: Vec<String> = match extent {
            FeedExtent::Whole => before.into_keys().collect(),
            FeedExtent::Changes => {
                let gone = snapshot.gone.iter().map(|id| id.to_string());
                gone.filter(|id| before.contains_key(id)).collect()
            }
        };
        change.removed = removed.len();
        remove(&mut transaction, "DELETE FROM cves WHERE id IN ", &removed).await?;
        remove(&mut transaction, "DELETE FROM cve_texts WHERE id IN ", &removed).await?;
        note_faults(&mut transaction, snapshot, extent).await?;
        note_state(&mut transaction, state, change.is_any()).await?;
        transaction.commit().await?;
        Ok(change)
    }

    /// How many records that can be used now would be gone or could not be used any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed_losses(
        &self,
        snapshot: &Snapshot,
        extent: FeedExtent,
    ) -> Result<u64, StoreError> {
        if extent == FeedExtent::Changes && snapshot.gone.is_empty() && snapshot.faults.is_empty() {
            return Ok(0);
        }
        match extent {
            FeedExtent::Whole => {
                let good: Vec<(String,)> = sqlx::query_as(
                    "SELECT id FROM cves WHERE id NOT IN (SELECT id FROM feed_faults)",
                )
                .fetch_all(&self.readers)
                .await?;
                let good: HashSet<String> = good.into_iter().map(|(id,)| id).collect();
                let kept = snapshot.entries.iter().map(|listed| listed.id().to_string());
                Ok((good.len() - kept.filter(|id| good.contains(id)).count()) as u64)
            }
            FeedExtent::Changes => {
                let faulty = snapshot.faults.iter().map(|fault| fault.id);
                let lost: BTreeSet<CveId> = snapshot.gone.iter().copied().chain(faulty).collect();
                let lost: Vec<String> = lost.iter().map(CveId::to_string).collect();
                let statement = "SELECT COUNT(*) FROM cves
                    WHERE id NOT IN (SELECT id FROM feed_faults) AND id IN ";
                let mut count = 0;
                for mut query in chunks(statement, &lost) {
                    let number: i64 = query.build_query_scalar().fetch_one(&self.readers).await?;
                    count += number.unsigned_abs();
                }
                Ok(count)
            }
        }
    }
}

/// The digests of what is there now, by the names: of all, or of what a snapshot of changes is about.
async fn digests(
    transaction: &mut Transaction<'_, Sqlite>,
    snapshot: &Snapshot,
    extent: FeedExtent,
) -> Result<HashMap<String, String>, StoreError> {
    if extent == FeedExtent::Whole {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, digest FROM cves").fetch_all(&mut **transaction).await?;
        return Ok(rows.into_iter().collect());
    }
    let read = snapshot.entries.iter().map(Listed::id);
    let ids: Vec<String> =
        read.chain(snapshot.gone.iter().copied()).map(|id| id.to_string()).collect();
    let mut digests = HashMap::with_capacity(ids.len());
    for mut query in chunks("SELECT id, digest FROM cves WHERE id IN ", &ids) {
        let rows: Vec<(String, String)> =
            query.build_query_as().fetch_all(&mut **transaction).await?;
        digests.extend(rows);
    }
    Ok(digests)
}

/// Writes some records, no more than fit into a statement.
async fn put(
    transaction: &mut Transaction<'_, Sqlite>,
    records: &[Listed<'_>],
) -> Result<(), StoreError> {
    let mut facts =
        sqlx::QueryBuilder::new("INSERT OR REPLACE INTO cves (id, rejected, digest, facts) ");
    let mut texts = sqlx::QueryBuilder::new("INSERT OR REPLACE INTO cve_texts (id, texts) ");
    let records: Result<Vec<Row>, StoreError> = records.iter().map(row).collect();
    let records = records?;
    facts.push_values(&records, |mut values, row| {
        values.push_bind(&row.id).push_bind(row.rejected).push_bind(&row.digest);
        values.push_bind(&row.facts);
    });
    texts.push_values(&records, |mut values, row| {
        values.push_bind(&row.id).push_bind(&row.texts);
    });
    facts.build().execute(&mut **transaction).await?;
    texts.build().execute(&mut **transaction).await?;
    Ok(())
}

/// A record as it is written.
struct Row {
    id: String,
    rejected: bool,
    digest: String,
    facts: String,
    texts: String,
}

fn row(listed: &Listed<'_>) -> Result<Row, StoreError> {
    let Entry { record, rejected, dyads, digest } = listed.read().map_err(StoreError::Spool)?;
    let Record { id, title, description, program_files, cvss, ranges } = record;
    Ok(Row {
        id: id.to_string(),
        rejected,
        digest: digest.to_string(),
        facts: to_json(&CveFacts { id, title, rejected, cvss, program_files, dyads }),
        texts: to_json(&CveTexts { description, ranges }),
    })
}

async fn remove(
    transaction: &mut Transaction<'_, Sqlite>,
    statement: &'static str,
    ids: &[String],
) -> Result<(), StoreError> {
    for mut query in chunks(statement, ids) {
        query.build().execute(&mut **transaction).await?;
    }
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
        let read = snapshot.entries.iter().map(Listed::id);
        let over = read.chain(snapshot.gone.iter().copied());
        let over: Vec<String> = over.map(|id| id.to_string()).collect();
        remove(transaction, "DELETE FROM feed_faults WHERE id IN ", &over).await?;
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
        "INSERT INTO feed (id, source, revision, parser, data_at, read_at, changed_at, published,
             rejected, faulty)
         VALUES (1, ?, ?, ?, ?, ?, ?, (SELECT COUNT(*) FROM cves WHERE rejected = 0),
             (SELECT COUNT(*) FROM cves WHERE rejected = 1), (SELECT COUNT(*) FROM feed_faults))
         ON CONFLICT (id) DO UPDATE SET source = excluded.source, revision = excluded.revision,
             parser = excluded.parser, data_at = excluded.data_at, read_at = excluded.read_at,
             published = excluded.published, rejected = excluded.rejected, faulty = excluded.faulty,
             changed_at = CASE WHEN ? THEN excluded.changed_at ELSE changed_at END",
    )
    .bind(&state.source)
    .bind(&state.revision)
    .bind(state.parser)
    .bind(state.data_at.as_microsecond())
    .bind(state.read_at.as_microsecond())
    .bind(state.changed_at.as_microsecond())
    .bind(is_changed)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
