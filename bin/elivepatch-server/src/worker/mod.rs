//! The workers: each is a loop over the lease protocol.

mod batch;
mod outbox;
mod pool;
#[cfg(test)]
mod tests;
mod work;

use std::{sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use elivepatch_api::{ClaimRequest, client::Client};
use elivepatch_model::Architecture;
use tokio_util::sync::CancellationToken;

pub use self::pool::{Pool, release};
use crate::runner::BuildRunner;

/// How long the server may hold a claim open. The worker asks again at once.
const WAIT_SECONDS: u32 = 20;

/// How long the worker rests when the server does not answer as it should.
const REST: Duration = Duration::from_secs(2);

/// Asks for work and does it, one build at a time.
struct Worker {
    /// The way to the server.
    client: Client,
    /// What builds.
    runner: Arc<dyn BuildRunner>,
    /// The worker's name; no other worker has it.
    name: String,
    /// Where each build gets a directory, beside those of the other workers.
    work_directory: Utf8PathBuf,
    /// Ends the loop, and the build under way with it.
    stop: CancellationToken,
}

impl Worker {
    /// Works until it is told to stop. The lease of a build that is cut off is left as it is.
    async fn run(self) {
        while !self.stop.is_cancelled() {
            let claim = ClaimRequest {
                worker: self.name.clone(),
                architectures: vec![Architecture::X86_64],
                warm_releases: self.warm_releases().await,
                wait_seconds: WAIT_SECONDS,
            };
            match self.client.claim(&claim).await {
                Ok(None) => {}
                Ok(Some(lease)) => {
                    let client = self.client.leased(&lease);
                    let runner = Arc::clone(&self.runner);
                    work::run(lease, client, runner, &self.work_directory, &self.stop).await;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot ask for work");
                    tokio::select! {
                        () = tokio::time::sleep(REST) => {}
                        () = self.stop.cancelled() => {}
                    }
                }
            }
        }
    }

    async fn warm_releases(&self) -> Vec<String> {
        let runner = Arc::clone(&self.runner);
        tokio::task::spawn_blocking(move || runner.warm_releases()).await.unwrap_or_default()
    }
}
