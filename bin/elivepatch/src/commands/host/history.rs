use elivepatch_host::{Event, EventKind};

use super::{ViewArgs, host_problem};
use crate::{
    exit::Exit,
    output::{data, say},
    problem::Problem,
    report,
    text::printable,
};

/// Says what happened on this machine, the oldest first.
pub fn run(arguments: &ViewArgs) -> Result<Exit, Problem> {
    let events = arguments.state.directory().history().map_err(|problem| host_problem(&problem))?;
    if arguments.json {
        report::print_json(&events)?;
        return Ok(Exit::Done);
    }
    if events.is_empty() {
        say("nothing has happened yet");
    }
    for event in &events {
        data(&printable(&line(event)))?;
    }
    Ok(Exit::Done)
}

fn line(event: &Event) -> String {
    let at = event.at.strftime("%Y-%m-%d %H:%M:%SZ");
    let what = match &event.kind {
        EventKind::Loaded { name, fixes, at_boot, took_ms, .. } => {
            let when = if *at_boot { " at boot" } else { "" };
            let fixes = match &fixes[..] {
                [] => String::new(),
                [one] => format!(": {one}"),
                [one, more @ ..] => format!(": {one} and {} more", more.len()),
            };
            format!("loaded {name}{when} in {took_ms} ms{fixes}")
        }
        EventKind::Reverted { name, reason } => format!("took {name} back: {reason}"),
        EventKind::Failed { name, reason } => format!("could not load {name}: {reason}"),
        EventKind::LockedOut { digest, reason } => {
            format!("locked out {:.12}: {reason}", digest.to_string())
        }
        EventKind::Unlocked { digest } => format!("unlocked {:.12}", digest.to_string()),
    };
    format!("{at}  {}  {what}", event.release)
}
