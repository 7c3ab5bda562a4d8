use std::{pin::pin, time::Duration};

use elivepatch_api::{
    BuildResource,
    client::{FollowOptions, Followed},
};
use elivepatch_model::{BuildEvent, BuildNumber, BuildState};
use futures::StreamExt;

use crate::{problem::Problem, progress::Progress, server::Server};

/// Shows a build until it is finished, and gives it as it is then.
///
/// `patience` is how long the server may be away.
pub async fn until_finished(
    server: &Server,
    number: BuildNumber,
    patience: Duration,
    progress: &mut dyn Progress,
) -> Result<BuildResource, Problem> {
    let options = FollowOptions { after: 0, patience };
    let mut events = pin!(server.client.follow(number, options));
    let mut has_begun = false;
    while let Some(followed) = events.next().await {
        match followed {
            Ok(Followed::Event(record)) => show(&record.event, number, &mut has_begun, progress),
            Ok(Followed::Disconnected(error)) => progress.note(&format!(
                "{error}; the build goes on there, trying again for {} s",
                patience.as_secs()
            )),
            Ok(Followed::Resumed) => progress.note("the server is back; going on"),
            Err(error) => return Err(gone(server, number, &error)),
        }
    }
    server
        .patiently(patience, || server.client.build(number))
        .await
        .map_err(|error| gone(server, number, &error))
}

fn show(
    event: &BuildEvent,
    number: BuildNumber,
    has_begun: &mut bool,
    progress: &mut dyn Progress,
) {
    match event {
        BuildEvent::State { state: BuildState::Queued, .. } if *has_begun => {
            *has_begun = false;
            progress.reset();
            progress.note(&format!("build {number} is back in the queue and begins again"));
        }
        BuildEvent::State { state: BuildState::Queued, .. } => progress.waiting(),
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
}

/// The server is away for too long, or refuses to go on.
fn gone(
    server: &Server,
    number: BuildNumber,
    error: &elivepatch_api::client::ClientError,
) -> Problem {
    let problem = server.problem(error);
    if error.is_passing() {
        let command = server.follow_command(number);
        problem.hint(format!("the build may still go on; follow it with: {command}"))
    } else {
        problem
    }
}
