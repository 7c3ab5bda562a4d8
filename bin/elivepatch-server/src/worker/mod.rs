//! The workers: each is a loop over the lease protocol.

mod batch;
mod outbox;
mod place;
mod pool;
#[cfg(test)]
mod tests;
mod work;

use std::{sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use elivepatch_api::{
    ClaimRequest, ErrorCode,
    client::{Client, ClientError, TransportError},
};
use elivepatch_model::{Architecture, BuilderStamp, with_causes};
use tokio_util::sync::CancellationToken;

pub use self::{
    place::WorkPlace,
    pool::{Pool, WorkerName, release},
};
use crate::runner::BuildRunner;

/// How long the server may hold a claim open. The worker asks again at once.
const WAIT_SECONDS: u32 = 20;

/// How long the worker rests when the server does not answer as it should, at first and at most: each time it is
/// twice as long.
const REST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// How long a worker of another machine rests after a build that failed by the machine's fault, at first and at most: a
/// machine that fails at once would otherwise take every build. A build waits 5 to 15 seconds for its next attempt
/// (`elivepatch_store::RETRY_DELAY`), so that another worker that is free has it by then.
const REST_AFTER_FAILURE: (Duration, Duration) =
    (Duration::from_secs(30), Duration::from_secs(300));

/// Asks for work and does it, one build at a time.
struct Worker {
    /// The way to the server.
    client: Client,
    /// What builds.
    runner: Arc<dyn BuildRunner>,
    /// What the builder is.
    builder: BuilderStamp,
    /// The worker's name; no other worker has it.
    name: String,
    /// Where each build gets a directory, beside those of the other workers.
    work_directory: Utf8PathBuf,
    /// Ends the loop, and the build under way with it.
    stop: CancellationToken,
    /// Ends the loop after the build under way: told by a worker beside this one that the server refuses.
    enough: CancellationToken,
    /// Whether a failure of this machine is to be followed by a rest, for others to take the build.
    rests_after_failure: bool,
}

impl Worker {
    /// Works until it is told to stop, or until the server refuses it for good: then it gives the refusal.
    async fn run(self) -> Option<ClientError> {
        // The first answer comes at once, so that it is soon known whether the server takes this worker.
        let mut wait_seconds = 0;
        let mut rest = REST.0;
        let mut rest_after_failure = REST_AFTER_FAILURE.0;
        while !self.enough.is_cancelled() {
            let claim = ClaimRequest {
                worker: self.name.clone(),
                builder: self.builder.clone(),
                architectures: vec![Architecture::X86_64],
                warm_releases: self.warm_releases().await,
                wait_seconds,
            };
            let claimed = tokio::select! {
                claimed = self.client.claim(&claim) => claimed,
                () = self.enough.cancelled() => break,
            };
            match claimed {
                Ok(lease) => {
                    if wait_seconds == 0 {
                        let server = self.client.peer();
                        tracing::info!(server, worker = self.name, "the server takes this worker");
                    }
                    (wait_seconds, rest) = (WAIT_SECONDS, REST.0);
                    let Some(lease) = lease else { continue };
                    let client = self.client.leased(&lease);
                    let runner = Arc::clone(&self.runner);
                    let end =
                        work::run(lease, client, runner, &self.work_directory, &self.stop).await;
                    if end == work::End::Other || !self.rests_after_failure {
                        rest_after_failure = REST_AFTER_FAILURE.0;
                        continue;
                    }
                    let seconds = rest_after_failure.as_secs();
                    tracing::warn!("this machine failed a build; it takes none for {seconds} s");
                    self.rest(rest_after_failure).await;
                    rest_after_failure = (rest_after_failure * 2).min(REST_AFTER_FAILURE.1);
                }
                Err(error) if is_final(&error) => {
                    tracing::error!(worker = self.name, "refused: {}", with_causes(&error));
                    self.enough.cancel();
                    return Some(error);
                }
                Err(error) => {
                    wait_seconds = 0;
                    let (error, seconds) = (with_causes(&error), rest.as_secs());
                    tracing::warn!(error, "cannot ask for work; the next try is in {seconds} s");
                    self.rest(rest).await;
                    rest = (rest * 2).min(REST.1);
                }
            }
        }
        None
    }

    async fn rest(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.enough.cancelled() => {}
        }
    }

    async fn warm_releases(&self) -> Vec<String> {
        let runner = Arc::clone(&self.runner);
        tokio::task::spawn_blocking(move || runner.warm_releases()).await.unwrap_or_default()
    }
}

/// Whether asking again is of no use before a person has done something.
fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Api { error, .. } => matches!(
            error.code,
            ErrorCode::BadRequest
                | ErrorCode::Unauthorized
                | ErrorCode::Forbidden
                | ErrorCode::NotFound
                | ErrorCode::MethodNotAllowed
                | ErrorCode::Conflict
        ),
        ClientError::Unreachable { source: TransportError::Certificate { .. }, .. }
        | ClientError::Unencrypted { .. }
        | ClientError::Invalid { .. } => true,
        _ => false,
    }
}
