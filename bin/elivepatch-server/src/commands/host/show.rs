use elivepatch_api::{HostChange, HostHealth, HostReport, HostResource, Order};
use elivepatch_model::{HostName, TargetFacts, printable};
use elivepatch_server::{AppError, app::Fleet};

use super::{list, shown};
use crate::report;

pub(super) async fn show(fleet: &Fleet, name: &HostName, json: bool) -> Result<(), AppError> {
    let host = fleet.show(name).await?;
    if json {
        report::json(&host);
        return Ok(());
    }
    line("host", name.as_str());
    line("tags", &list::tags(&host.summary.tags));
    line("state", &list::state(&host.summary));
    line("registered", &report::age(host.summary.registered_at));
    line("last seen", &host.summary.last_seen.map_or_else(|| "never".to_owned(), report::age));
    line("kernel", host.summary.release.as_str());
    if let Some(build_id) = &host.summary.build_id {
        line("build-id", build_id.as_str());
    }
    if let Some(told) = &host.report {
        reported(told);
    }
    livepatch(&host);
    for hold in &host.holds {
        line("held", &format!("by {}: {}", shown(&hold.whom), said(&hold.reason)));
    }
    if let Some(order) = &host.order {
        line("is told", &ordered(order));
    }
    for event in &host.events {
        line(&report::time(event.at), &happened(&event.change));
    }
    Ok(())
}

fn line(name: &str, text: &str) {
    let name = format!("{name}:");
    anstream::println!("{name:<18}{}", printable(text));
}

fn reported(told: &HostReport) {
    if let Some(version) = &told.target.kernel_version {
        line("version", version);
    }
    line("agent", &told.agent_version);
    line("up for", &format!("{} hours when it reported", told.uptime_seconds / 3600));
    for fault in &told.faults {
        line("fault", &fault.what);
        line("  to do", &fault.hint);
    }
    for digest in &told.locked_out {
        line("locked out", &digest.to_string());
    }
}

fn livepatch(host: &HostResource) {
    let livepatch = host.report.as_ref().and_then(|told| told.livepatch.as_ref());
    let Some(livepatch) = livepatch else {
        return line("livepatch", "none");
    };
    let origin = match host.livepatch_build {
        Some(build) => format!("of build {build}"),
        None => "which no build of this server made".to_owned(),
    };
    let state = match (livepatch.active, livepatch.health) {
        (false, _) => "not active",
        (true, HostHealth::Watched) => "active, and looked after",
        (true, HostHealth::Proven) => "active, and proven",
        (true, HostHealth::Bad) => "active, and not well",
    };
    line("livepatch", &format!("{}, {origin}: {state}", named(&livepatch.name)));
    line("module", &livepatch.digest.to_string());
}

/// A livepatch's name, when the host could tell it.
fn named(name: &str) -> &str {
    if name.is_empty() { "one without a name" } else { name }
}

fn said(reason: &str) -> &str {
    if reason.is_empty() { "no reason was given" } else { reason }
}

fn ordered(order: &Order) -> String {
    match order {
        Order::Stay => "to stay as it is: nothing is assigned to its kernel".to_owned(),
        Order::Hold { reason } => format!("to stay as it is, held: {}", said(reason)),
        Order::Load(assigned) => {
            let when = if assigned.at_once { ", at once" } else { "" };
            format!("to run the livepatch of build {}{when}", assigned.build)
        }
        Order::Unload { reason } => {
            format!("to take its livepatch back, which was withdrawn: {}", said(reason))
        }
    }
}

fn happened(change: &HostChange) -> String {
    match change {
        HostChange::Started => "started anew".to_owned(),
        HostChange::KernelChanged { from, to } => {
            format!("runs {}, before {}", kernel(to), kernel(from))
        }
        HostChange::Loaded { name, digest } => {
            format!("loaded {} ({})", named(name), digest.short())
        }
        HostChange::TakenBack { name, digest } => {
            format!("{} ({}) is not active any more", named(name), digest.short())
        }
        HostChange::LockedOut { digest } => format!("locked out the module {}", digest.short()),
        HostChange::Unlocked { digest } => {
            format!("the module {} is allowed there again", digest.short())
        }
        HostChange::Trouble { fault } => format!("trouble: {fault}"),
        HostChange::Well => "all is well again".to_owned(),
    }
}

fn kernel(target: &TargetFacts) -> String {
    match &target.kernel_version {
        Some(version) => format!("{} ({version})", target.release),
        None => target.release.to_string(),
    }
}
