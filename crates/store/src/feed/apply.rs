use std::collections::{BTreeSet, HashMap, HashSet};

use elivepatch_cve::{
    CveId, Record,
    feed::{Entry, Fault, Snapshot},
};
use sqlx::{Sqlite, Transaction};

use super::{CveFacts, CveTexts, FeedChange, FeedExtent, FeedState};
use crate::{Store, StoreError, row::to_json};

impl Store {
    /// Takes over what was read of a feed, all of it or nothing. A record that cannot be used any more stays
    /// as it was, and its fault is noted. `state` says when it was read; when nothing has changed, the time of
    /// the last change stays what it was.
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
        for fault in &snapshot.faults {
            before.remove(&fault.id.to_string());
        }
        let mut removed: Vec<String> = match extent {
            FeedExtent::Whole => before.into_keys().collect(),
            FeedExtent::Changes => {
                let gone = snapshot.gone.iter().map(|id| id.to_string());
                gone.filter(|id| before.contains_key(id)).collect()
            }
        };
        removed.sort_unstable();
        change.removed = removed.len();
        for id in &removed {
            remove(&mut transaction, "DELETE FROM cves WHERE id = ?", id).await?;
            remove(&mut transaction, "DELETE FROM cve_texts WHERE id = ?", id).await?;
        }
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
        let good: Vec<(String,)> =
            sqlx::query_as("SELECT id FROM cves WHERE id NOT IN (SELECT id FROM feed_faults)")
                .fetch_all(&self.readers)
                .await?;
        let good: HashSet<String> = good.into_iter().map(|(id,)| id).collect();
        let is_good = |id: &CveId| good.contains(&id.to_string());
        let lost = match extent {
            FeedExtent::Whole => {
                let kept = snapshot.entries.iter().map(|entry| &entry.record.id);
                good.len() - kept.filter(|id| is_good(id)).count()
            }
            FeedExtent::Changes => {
                let faulty = snapshot.faults.iter().map(|fault| &fault.id);
                let lost: BTreeSet<&CveId> = snapshot.gone.iter().chain(faulty).collect();
                lost.into_iter().filter(|id| is_good(id)).count()
            }
        };
        Ok(lost as u64)
    }
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
    sqlx::query("INSERT OR REPLACE INTO cves (id, rejected, digest, facts) VALUES (?, ?, ?, ?)")
        .bind(id.to_string())
        .bind(entry.rejected)
        .bind(digest)
        .bind(to_json(&facts))
        .execute(&mut **transaction)
        .await?;
    sqlx::query("INSERT OR REPLACE INTO cve_texts (id, texts) VALUES (?, ?)")
        .bind(id.to_string())
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
