//! The workers of this process, side by side over one builder.

use std::sync::Arc;

use camino::Utf8PathBuf;
use elivepatch_api::client::{Client, ClientError};
use elivepatch_server::{App, AppError, WorkerEnd, config::MOST_WORKERS};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Worker;
use crate::runner::BuildRunner;

/// What the workers of this process share.
pub struct Pool {
    /// The way to the server.
    pub client: Client,
    /// What builds; any number of builds at the same time.
    pub runner: Arc<dyn BuildRunner>,
    /// What they are called.
    pub name: WorkerName,
    /// Where each build gets a directory of its own.
    pub work_directory: Utf8PathBuf,
    /// Ends all workers, and their builds with them.
    pub stop: CancellationToken,
}

impl Pool {
    /// Starts `count` workers, each with a name of its own. None of them ends before `stop` is told, unless the server
    /// refuses one: that one gives why, and the others end what they build.
    pub fn start(&self, count: u32) -> JoinSet<Option<ClientError>> {
        let builder = self.runner.identity().stamp();
        let enough = self.stop.child_token();
        let worker = |number| Worker {
            client: self.client.clone(),
            runner: Arc::clone(&self.runner),
            builder: builder.clone(),
            name: self.name.of_worker(number),
            work_directory: self.work_directory.clone(),
            stop: self.stop.clone(),
            enough: enough.clone(),
            rests_after_failure: self.name != WorkerName::Inside,
        };
        (1..=count).map(|number| worker(number).run()).collect()
    }
}

/// What the workers of a process are called, with numbers from 1 behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerName {
    /// Those in the server's process.
    Inside,
    /// Those on a machine that is called so.
    Elsewhere(String),
}

impl WorkerName {
    fn of_worker(&self, number: u32) -> String {
        match self {
            Self::Inside => format!("in-process-{number}"),
            Self::Elsewhere(machine) => format!("{machine}-{number}"),
        }
    }
}

/// Puts the builds of all workers that a process may have back into the queue: an earlier run may
/// have had more of them than the config says now. The data directory is locked, so that what is
/// leased under these names is leased to this process or to one that is gone.
///
/// # Errors
/// When the store fails; it is still tried for every worker.
pub async fn release(app: &App, end: WorkerEnd) -> Result<(), AppError> {
    let mut result = Ok(());
    for number in 1..=MOST_WORKERS {
        result = result
            .and(app.release_worker(&WorkerName::Inside.of_worker(number), end).await.map(drop));
    }
    result
}
