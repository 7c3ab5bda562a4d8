use std::time::Duration;

use elivepatch_api::{RunResource, client::ClientError};
use elivepatch_model::RunNumber;
use tokio::time::Instant;

use crate::{problem::Problem, progress::RunProgress, server::Server};

/// How often a run is looked at: it takes minutes to hours, and its answer in short is small.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A CVE run that is watched.
pub struct WatchedRun<'a> {
    /// Where it is.
    pub server: &'a Server,
    /// Its number there.
    pub number: RunNumber,
    /// How long the server may be away.
    pub patience: Duration,
}

/// Shows a run until it is finished. `begun` is the run as it was when it was asked for.
pub async fn to_the_end(
    watched: &WatchedRun<'_>,
    begun: RunResource,
    progress: &mut dyn RunProgress,
) -> Result<(), Problem> {
    let WatchedRun { server, number, patience } = *watched;
    let mut run = begun;
    let mut away_since = None;
    loop {
        progress.show(&run);
        if run.state.is_finished() {
            return Ok(());
        }
        run = loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match server.client.run_in_short(number).await {
                Ok(run) => {
                    if away_since.take().is_some() {
                        progress.note("the server is back; going on");
                    }
                    break run;
                }
                Err(error) if !error.is_passing() => return Err(gone(server, number, &error)),
                Err(error) => {
                    if away_since.is_none() {
                        progress.note(&format!(
                            "{error}; the run may go on there, trying again for {} s",
                            patience.as_secs()
                        ));
                    }
                    if away_since.get_or_insert_with(Instant::now).elapsed() >= patience {
                        return Err(gone(server, number, &error));
                    }
                }
            }
        };
    }
}

/// The server is away for too long, or refuses to go on.
pub fn gone(server: &Server, number: RunNumber, error: &ClientError) -> Problem {
    let problem = server.problem(error);
    if error.is_passing() {
        let command = server.run_command(number);
        problem.hint(format!("the run may still go on; follow it with: {command}"))
    } else {
        problem
    }
}
