//! The chore that cleans the cache: the server does not know the builder, whose cache it is.

use std::{sync::Arc, time::Duration};

use elivepatch_server::App;
use tokio::task::JoinHandle;

use crate::runner::BuildRunner;

/// How often the cache is cleaned. Each build keeps the disk budget when it has ended; this is for
/// what was given up, and for what others put into the cache.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// Cleans the cache now and from time to time, until it is aborted. It may run at any time, twice or
/// beside builds: what is in use stays.
pub fn start(app: App, runner: Arc<dyn BuildRunner>) -> JoinHandle<()> {
    repeat(runner, move |outcome| app.record_chore("clean-cache", outcome))
}

/// The same on a machine that has no server: what goes wrong is in the log only.
pub fn start_alone(runner: Arc<dyn BuildRunner>) -> JoinHandle<()> {
    repeat(runner, |outcome| {
        if let Err(error) = outcome {
            tracing::warn!("the cache could not be cleaned: {error}");
        }
    })
}

fn repeat(
    runner: Arc<dyn BuildRunner>,
    record: impl Fn(Result<usize, String>) + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let runner = Arc::clone(&runner);
            let swept = tokio::task::spawn_blocking(move || runner.sweep()).await;
            record(match swept {
                Ok(Ok(swept)) => {
                    swept.log();
                    Ok(swept.removed.len())
                }
                Ok(Err(error)) => {
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                    Err(format!("{error}{}", cause.unwrap_or_default()))
                }
                Err(panic) => Err(panic.to_string()),
            });
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    })
}
