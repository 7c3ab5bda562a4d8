use std::time::Duration;

use elivepatch_api::{HealthResource, HealthState, VersionResource, WorkerHealth};
use jiff::Timestamp;

use super::{App, AppError, FeedStatus, now};

/// A worker that was not heard of for this long is not counted. A claim that waits is at most a
/// minute old, and a worker that builds sends heartbeats.
const WORKER_SILENCE: Duration = Duration::from_secs(150);

/// Less free space than this on the disk of the data directory is a problem: a module with its
/// patches and log fits a few times.
const LEAST_FREE_BYTES: u64 = 64 * 1024 * 1024;

impl App {
    /// How the server is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn health(&self) -> Result<HealthResource, AppError> {
        let queue = self.store().queue_length().await?;
        let since = now().checked_sub(WORKER_SILENCE).unwrap_or(Timestamp::MIN);
        let workers: Vec<WorkerHealth> = self
            .store()
            .workers(since)
            .await?
            .into_iter()
            .map(|worker| WorkerHealth {
                name: public_name(&worker.name).to_owned(),
                last_seen: worker.last_seen,
            })
            .collect();
        let mut problems = self.inner.chores.problems();
        if workers.is_empty() {
            problems.push("no worker has asked for work lately: builds wait".to_owned());
        }
        problems.extend(self.disk_problem());
        problems.extend(self.feed_problem().await?);
        let state = if problems.is_empty() { HealthState::Ok } else { HealthState::Degraded };
        Ok(HealthResource {
            state,
            problems,
            queued: queue.queued,
            running: queue.running,
            workers,
        })
    }

    /// What the server is.
    pub fn version(&self) -> VersionResource {
        VersionResource {
            name: "elivepatch".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            builder: self.inner.options.builder_identity.common.clone(),
            api: vec!["v2".to_owned()],
        }
    }

    async fn feed_problem(&self) -> Result<Option<String>, AppError> {
        let status = self.feed().await?.filter(|status| status.is_stale);
        Ok(status.map(|status| {
            let FeedStatus { source, data_at, read_at, .. } = status;
            match status.is_imported {
                true => format!("the CVE feed is stale: its data is of {data_at} ({source})"),
                false => format!(
                    "the CVE feed is stale: its data is of {data_at}, and it was last read at {read_at}"
                ),
            }
        }))
    }

    fn disk_problem(&self) -> Option<String> {
        let statistics = rustix::fs::statvfs(self.inner.options.data_directory.as_std_path());
        match statistics {
            Err(error) => Some(format!("the data directory cannot be looked at: {error}")),
            Ok(found) => {
                let free = found.f_bavail.saturating_mul(found.f_frsize);
                (free < LEAST_FREE_BYTES)
                    .then(|| format!("the disk of the data directory has only {free} bytes left"))
            }
        }
    }
}

/// A worker's name for everybody: without the id of the token that it comes with.
fn public_name(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_token, name)| name)
}
