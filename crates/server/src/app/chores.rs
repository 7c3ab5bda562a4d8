//! What the server does by itself from time to time. Every chore can run at any time, twice or not
//! at all for a while, without harm.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::{App, AppError, now};

/// How often leases are looked at; a claim looks as well.
const EXPIRE_LEASES_EVERY: Duration = Duration::from_secs(2);
/// How often abandoned uploads are looked for.
const REMOVE_UPLOADS_EVERY: Duration = Duration::from_secs(600);
/// How old an abandoned upload is: no client is so slow.
const ABANDONED_UPLOAD: Duration = Duration::from_secs(3600);
/// How often blobs without a record are looked for: few come about, and all files are listed.
const REMOVE_ORPHANS_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How old such a blob is: the record comes milliseconds after the file.
const ORPHAN_BLOB: Duration = Duration::from_secs(3600);
/// How often it is looked whether the feed is to be read; the config says how old it may be then. After
/// a failure it is tried again so soon.
const LOOK_AT_FEED_EVERY: Duration = Duration::from_secs(300);

/// When a chore last ran, and with what outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoreRecord {
    /// The chore.
    pub name: &'static str,
    /// When it last ended.
    pub last_run: Timestamp,
    /// How many things it did then, or why it failed.
    pub outcome: Result<usize, String>,
}

/// The last runs of all chores.
#[derive(Debug, Default)]
pub(super) struct ChoreBoard {
    records: Mutex<BTreeMap<&'static str, ChoreRecord>>,
}

/// Runs the chores until it is dropped.
#[derive(Debug)]
pub struct ChoreRunner {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for ChoreRunner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl ChoreBoard {
    fn record(&self, name: &'static str, result: Result<usize, AppError>) {
        let outcome = result.map_err(|error| {
            tracing::error!(chore = name, error = &error as &dyn std::error::Error, "chore failed");
            error.to_string()
        });
        self.note(name, outcome);
    }

    fn record_outcome(&self, name: &'static str, outcome: Result<usize, String>) {
        if let Err(error) = &outcome {
            tracing::error!(chore = name, error, "chore failed");
        }
        self.note(name, outcome);
    }

    fn note(&self, name: &'static str, outcome: Result<usize, String>) {
        if let Ok(done @ 1..) = outcome {
            tracing::info!(chore = name, done, "chore done");
        }
        let record = ChoreRecord { name, last_run: now(), outcome };
        self.records.lock().expect("no holder of the lock panics").insert(name, record);
    }

    fn records(&self) -> Vec<ChoreRecord> {
        self.records.lock().expect("no holder of the lock panics").values().cloned().collect()
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let problem = |record: ChoreRecord| {
            let error = record.outcome.err()?;
            Some(format!("the chore {} failed at {}: {error}", record.name, record.last_run))
        };
        self.records().into_iter().filter_map(problem).collect()
    }
}

impl App {
    /// Begins to run the chores.
    pub fn start_chores(&self) -> ChoreRunner {
        let leases = self.clone();
        let leases = tokio::spawn(async move {
            loop {
                leases.run_expire_leases().await;
                tokio::time::sleep(EXPIRE_LEASES_EVERY).await;
            }
        });
        let uploads = self.clone();
        let uploads = tokio::spawn(async move {
            loop {
                uploads.run_remove_uploads().await;
                tokio::time::sleep(REMOVE_UPLOADS_EVERY).await;
            }
        });
        let orphans = self.clone();
        let orphans = tokio::spawn(async move {
            loop {
                orphans.run_remove_orphans().await;
                tokio::time::sleep(REMOVE_ORPHANS_EVERY).await;
            }
        });
        let runs = self.clone();
        let runs = tokio::spawn(async move { runs.run_runs().await });
        let mut tasks = vec![leases, uploads, orphans, runs];
        if let Some(options) = self.inner.options.feed.clone() {
            let feed = self.clone();
            tasks.push(tokio::spawn(async move {
                loop {
                    feed.run_update_feed(&options).await;
                    tokio::time::sleep(LOOK_AT_FEED_EVERY).await;
                }
            }));
        }
        ChoreRunner { tasks }
    }

    /// Notes the run of a chore that is not the server's own: what it needs is elsewhere. The outcome
    /// is how many things it did, or why it failed.
    pub fn record_chore(&self, name: &'static str, outcome: Result<usize, String>) {
        self.inner.chores.record_outcome(name, outcome);
    }

    /// When each chore last ran.
    pub fn chores(&self) -> Vec<ChoreRecord> {
        self.inner.chores.records()
    }

    async fn run_expire_leases(&self) {
        self.inner.chores.record("expire-leases", self.expire_leases().await);
    }

    async fn run_remove_uploads(&self) {
        let removed = self.store().remove_abandoned_uploads(ABANDONED_UPLOAD).await;
        self.inner.chores.record("remove-abandoned-uploads", removed.map_err(AppError::from));
    }

    async fn run_remove_orphans(&self) {
        let removed = self.store().remove_orphan_blobs(ORPHAN_BLOB).await;
        self.inner.chores.record("remove-orphan-blobs", removed.map_err(AppError::from));
    }
}
