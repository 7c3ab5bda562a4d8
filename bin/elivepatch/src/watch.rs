use std::{pin::pin, time::Duration};

use elivepatch_api::{
    BuildResource,
    client::{FollowOptions, Followed},
};
use elivepatch_model::{BuildEvent, BuildNumber, BuildState};
use futures::StreamExt;

use crate::{
    problem::Problem,
    progress::{self, Progress},
    server::Server,
};

/// How long a build is in the queue before that is said: the events of one that has left it come at
/// once, and every build has been queued.
const WAITING_AFTER: Duration = Duration::from_millis(300);

/// A build that is watched.
pub struct Watched<'a> {
    /// Where it is.
    pub server: &'a Server,
    /// Its number there.
    pub number: BuildNumber,
    /// How long the server may be away.
    pub patience: Duration,
    /// The command that goes on with it.
    pub go_on: &'a str,
}

/// Shows a build on the terminal until it is finished, and gives it as it is then.
pub async fn to_the_end(watched: &Watched<'_>, verbose: bool) -> Result<BuildResource, Problem> {
    let mut progress = progress::for_stderr(verbose);
    until_finished(watched, progress.as_mut()).await
}

async fn until_finished(
    watched: &Watched<'_>,
    progress: &mut dyn Progress,
) -> Result<BuildResource, Problem> {
    let Watched { server, number, patience, .. } = *watched;
    let options = FollowOptions { after: 0, patience };
    let mut events = pin!(server.client.follow(number, options));
    let mut has_begun = false;
    let mut is_queued = false;
    loop {
        let next = match is_queued {
            true => tokio::time::timeout(WAITING_AFTER, events.next()).await,
            false => Ok(events.next().await),
        };
        let Ok(next) = next else {
            progress.waiting();
            is_queued = false;
            continue;
        };
        match next {
            Some(Ok(Followed::Event(record))) => {
                is_queued = show(&record.event, number, &mut has_begun, progress);
            }
            Some(Ok(Followed::Disconnected(error))) => progress.note(&format!(
                "{error}; the build may go on there, trying again for {} s",
                patience.as_secs()
            )),
            Some(Ok(Followed::Resumed)) => progress.note("the server is back; going on"),
            Some(Err(error)) => return Err(gone(watched, &error)),
            None => break,
        }
    }
    server
        .patiently(patience, || server.client.build(number))
        .await
        .map_err(|error| gone(watched, &error))
}

/// Shows an event. Gives whether the build waits in the queue after it.
fn show(
    event: &BuildEvent,
    number: BuildNumber,
    has_begun: &mut bool,
    progress: &mut dyn Progress,
) -> bool {
    match event {
        BuildEvent::State { state: BuildState::Queued, .. } if *has_begun => {
            *has_begun = false;
            progress.reset();
            progress.note(&format!("build {number} is back in the queue and begins again"));
        }
        BuildEvent::State { state: BuildState::Queued, .. } => {}
        BuildEvent::State { state: BuildState::Running, .. } => {
            *has_begun = true;
            progress.running();
        }
        BuildEvent::State { .. } => progress.reset(),
        BuildEvent::Step { step } => progress.step(step),
        BuildEvent::Progress { step, what, done, total, unit } => {
            progress.amount(*step, what, *done, *total, unit);
        }
        BuildEvent::Log { step, line } => progress.log(*step, line),
    }
    matches!(event, BuildEvent::State { state: BuildState::Queued, .. })
}

/// The server is away for too long, or refuses to go on.
fn gone(watched: &Watched<'_>, error: &elivepatch_api::client::ClientError) -> Problem {
    let problem = watched.server.problem(error);
    if error.is_passing() {
        problem.hint(format!("the build may still go on; follow it with: {}", watched.go_on))
    } else {
        problem
    }
}
