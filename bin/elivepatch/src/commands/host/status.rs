use std::path::PathBuf;

use elivepatch_host::{Livepatch, Machine, Status};
use jiff::Timestamp;
use serde::Serialize;

use super::{ViewArgs, host_problem, server_side::ServerSide};
use crate::{
    cve::last_module,
    exit::Exit,
    output::data,
    problem::Problem,
    report::{print_json, row, table},
    text::{printable, shell_word},
};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct StatusJson {
    state: &'static str,
    release: String,
    build_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    livepatch: Option<LivepatchJson>,
    others: Vec<String>,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<PathBuf>,
    /// The server at which the machine is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerSide>,
    trouble: Vec<TroubleJson>,
}

#[derive(Debug, Serialize)]
struct LivepatchJson {
    name: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    active: bool,
    fixes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<bool>,
}

#[derive(Debug, Serialize)]
struct TroubleJson {
    what: String,
    hint: String,
}

/// Says how this machine stands.
pub fn run(arguments: &ViewArgs) -> Result<Exit, Problem> {
    let directory = arguments.state.directory();
    // For monitoring what cannot be looked at is trouble, too.
    let status = Status::look(&Machine::this(), &directory)
        .map_err(|problem| host_problem(&problem).with_exit(Exit::Usage))?;
    // CVE runs remember where they stored the last livepatch, in this directory or below it.
    let places = [directory.path().join("cve"), directory.path().to_owned()];
    let last = places.iter().find_map(|place| last_module(place, &status.kernel.release));
    let current = status.current.as_ref().map(|(digest, _)| *digest);
    let pending = last
        // What was here before, or was taken back, is not offered again.
        .filter(|(path, digest)| {
            Some(*digest) != current && !status.known.contains(digest) && path.is_file()
        })
        .map(|(path, _)| path);
    let server = ServerSide::look(&directory, Timestamp::now());
    let json = json(&status, pending, server);
    let exit = match json.state {
        "trouble" => Exit::Usage,
        "pending" => Exit::Input,
        _ => Exit::Done,
    };
    match arguments.json {
        true => print_json(&json)?,
        false => print(&json)?,
    }
    Ok(exit)
}

fn json(status: &Status, pending: Option<PathBuf>, server: Option<ServerSide>) -> StatusJson {
    let own = status.current.as_ref().and_then(|(_, held)| held.as_ref());
    let is_own = |livepatch: &Livepatch| {
        own.is_some_and(|held| {
            livepatch.build_id.is_some() && livepatch.build_id == held.module.build_id
        })
    };
    let livepatch = status.current.as_ref().map(|(digest, held)| LivepatchJson {
        name: held.as_ref().map_or_else(|| "?".to_owned(), |held| held.module.name.clone()),
        digest: digest.to_string(),
        since: status.since,
        active: status.loaded.iter().any(|loaded| is_own(loaded) && loaded.is_active()),
        fixes: held
            .iter()
            .filter_map(|held| held.manifest.as_ref())
            .flat_map(|manifest| manifest.fixes.iter().map(|fix| fix.name.clone()))
            .collect(),
        healthy: status.health.as_ref().map(elivepatch_host::Health::is_well),
    });
    let others = status.loaded.iter().filter(|loaded| !is_own(loaded));
    let trouble: Vec<TroubleJson> = status
        .trouble
        .iter()
        .map(|trouble| TroubleJson { what: trouble.to_string(), hint: trouble.hint().to_owned() })
        .chain(
            server
                .iter()
                .flat_map(|server| &server.trouble)
                .map(|(what, hint)| TroubleJson { what: what.clone(), hint: hint.clone() }),
        )
        .collect();
    let is_pending =
        pending.is_some() || server.as_ref().is_some_and(|server| server.pending.is_some());
    let state = match (trouble.is_empty(), is_pending, &livepatch) {
        (false, ..) => "trouble",
        (true, true, _) => "pending",
        (true, false, Some(_)) => "patched",
        (true, false, None) => "not patched",
    };
    StatusJson {
        state,
        release: status.kernel.release.to_string(),
        build_id: status.kernel.build_id.to_string(),
        livepatch,
        others: others.map(|loaded| loaded.name.clone()).collect(),
        notes: status.notes.clone(),
        pending,
        server,
        trouble,
    }
}

fn print(status: &StatusJson) -> Result<(), Problem> {
    let mut table = table();
    row(&mut table, "state", status.state);
    row(&mut table, "kernel", &format!("{} (build-id {})", status.release, status.build_id));
    match &status.livepatch {
        Some(livepatch) => {
            let active = if livepatch.active { "active" } else { "not active" };
            let since = livepatch
                .since
                .map(|since| format!(", since {}", since.strftime("%Y-%m-%d %H:%M UTC")));
            let text = format!("{} ({active}{})", livepatch.name, since.unwrap_or_default());
            row(&mut table, "livepatch", &printable(&text));
            row(&mut table, "fixes", &fixes(&livepatch.fixes));
            if let Some(healthy) = livepatch.healthy {
                let text = match healthy {
                    true => "well so far; it is looked after for a quarter of an hour",
                    false => "not well",
                };
                row(&mut table, "health", text);
            }
        }
        None => row(&mut table, "livepatch", "none of elivepatch's"),
    }
    if !status.others.is_empty() {
        row(&mut table, "also loaded", &printable(&status.others.join(", ")));
    }
    if let Some(pending) = &status.pending {
        let path = shell_word(&pending.display().to_string());
        row(&mut table, "pending", &format!("a newer livepatch is here: elivepatch apply {path}"));
    }
    if let Some(server) = &status.server {
        row(&mut table, "server", &server.words(Timestamp::now()));
        if let Some(pending) = &server.pending {
            row(&mut table, "pending", &printable(pending));
        }
    }
    for note in &status.notes {
        row(&mut table, "note", &printable(note));
    }
    for trouble in &status.trouble {
        row(&mut table, "wrong", &printable(&trouble.what));
        row(&mut table, "to do", &printable(&trouble.hint));
    }
    data(&table.to_string())
}

/// The names of the fixes, the first of them.
fn fixes(names: &[String]) -> String {
    /// As many as leave all on one screen.
    const SHOWN: usize = 8;
    let mut lines: Vec<String> = names.iter().take(SHOWN).map(|name| printable(name)).collect();
    if names.len() > SHOWN {
        lines.push(format!("and {} more (elivepatch show)", names.len() - SHOWN));
    }
    lines.join("\n")
}
