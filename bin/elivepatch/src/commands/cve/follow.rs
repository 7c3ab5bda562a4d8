use std::{cell::Cell, time::Duration};

use elivepatch_api::{AssessmentResource, RunResource, RunSubmission};
use elivepatch_model::RunNumber;

use super::{
    CveArgs, assess, assessed,
    order::Order,
    reports::Reports,
    result::{self, Told},
};
use crate::{
    cve::{Remembered, StateFile},
    destination::Destination,
    exit::Exit,
    output::say,
    problem::{Problem, warn},
    progress,
    server::Server,
    text::printable,
    watch_run::{self, WatchedRun},
};

/// Starts a run, or goes on with one, until Ctrl-C.
pub async fn run(arguments: &CveArgs) -> Result<Exit, Problem> {
    let server = arguments.server.open()?;
    let reports = Reports::open(arguments)?;
    let destination = match arguments.no_download {
        true => None,
        false => Some(Destination::open(arguments.output.as_deref(), arguments.force)?),
    };
    let order = match arguments.run {
        Some(_) => None,
        None => Some(Order::read(arguments)?),
    };
    let state = order.as_ref().and_then(|order| order.state_file(arguments, &server));
    if arguments.clear {
        clear(state.as_ref())?;
    }
    let before = state.as_ref().and_then(StateFile::read);
    let current = Cell::new(arguments.run);
    let work = async {
        let order = match order {
            Some(order) => Some(order.with_what_is_live(arguments, &server).await?),
            None => None,
        };
        let begun = match &order {
            Some(order) => submit(&server, order).await?,
            None => get(&server, arguments).await?,
        };
        current.set(Some(begun.number));
        let kept = order.as_ref().map(Order::kept);
        let told = Told {
            arguments,
            server: &server,
            destination: destination.as_ref(),
            reports: &reports,
            checks: order.as_ref().map_or(&[], |order| &order.request.checks),
            kept: kept.as_deref(),
            accept_unproven: order.as_ref().map(|order| order.request.options.accept_unproven),
        };
        complete(&told, begun, state.as_ref(), before.as_ref()).await
    };
    // From here on there are no blocking reads of what the user gave: Ctrl-C is seen at once.
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Err(interrupted(&server, current.get())),
    }
}

/// Forgets the last run. The first elivepatch forgot its copy of the CVE database; the feed is the server's now.
fn clear(state: Option<&StateFile>) -> Result<(), Problem> {
    let forgot = state.map(StateFile::forget).transpose()?.unwrap_or_default();
    say(match forgot {
        true => "forgot what the last run for this kernel said",
        false => "there is no last run for this kernel to forget",
    });
    Ok(())
}

async fn submit(server: &Server, order: &Order) -> Result<RunResource, Problem> {
    let submission = server.client.start_run(&order.request, &order.texts()).await;
    let RunSubmission { run, joined } = submission.map_err(|error| server.problem(&error))?;
    let joined = match joined {
        true => format!(": an equal run is there ({})", run.state.as_str()),
        false => String::new(),
    };
    say(&format!("run {} on {}{joined}", run.number, server.url));
    let (asked, release) = (&order.request.target.release, &run.target.release);
    if asked != release {
        say(&format!("kernel: {release} (the stock kernel of Linux {asked})"));
    }
    Ok(run)
}

async fn get(server: &Server, arguments: &CveArgs) -> Result<RunResource, Problem> {
    let number = arguments.run.expect("a run is started or followed");
    server.client.run_in_short(number).await.map_err(|error| server.problem(&error))
}

/// Watches a run to its end and tells what it came to.
async fn complete(
    told: &Told<'_>,
    begun: RunResource,
    state: Option<&StateFile>,
    before: Option<&Remembered>,
) -> Result<Exit, Problem> {
    let Told { arguments, server, .. } = *told;
    // A name that the feed does not have is said now and not after the run.
    let explained = match arguments.explain.is_empty() {
        true => None,
        false => {
            let version = Some(begun.grounds.linux_version.as_str());
            // What is loaded is so on the machine that began the run, which may be another one.
            let target = begun.target.clone().without_livepatches();
            Some(assessed(server, &target, version, &arguments.explain).await?)
        }
    };
    say_faults(explained.as_ref());
    let number = begun.number;
    let patience = Duration::from_secs(arguments.give_up_after);
    if !begun.state.is_finished() {
        let mut progress = progress::for_run(arguments.tells_only_news());
        let watched = WatchedRun { server, number, patience };
        watch_run::to_the_end(&watched, begun, progress.as_mut()).await?;
    }
    let run = server.patiently(patience, || server.client.run(number)).await;
    let run = run.map_err(|error| watch_run::gone(server, number, &error))?;
    result::tell(told, run, explained.as_ref(), state, before).await
}

fn say_faults(explained: Option<&AssessmentResource>) {
    for fault in explained.into_iter().flat_map(assess::faults) {
        warn(&printable(&fault));
    }
}

/// The user's Ctrl-C.
fn interrupted(server: &Server, number: Option<RunNumber>) -> Problem {
    match number {
        Some(number) => {
            Problem::new(Exit::Interrupted, format!("interrupted; run {number} goes on"))
                .hint(format!("follow it with: {}", server.run_command(number)))
                .aside(format!("cancel it with: {}", server.cancel_run_command(number)))
        }
        None => Problem::new(Exit::Interrupted, "interrupted before the run had a number")
            .hint("run the same command again: it joins the run that the server has"),
    }
}
