use elivepatch_host::{Kernel, Machine, livepatches};
use elivepatch_model::Sha256Digest;
use serde::Serialize;

use super::{StateArgs, ViewArgs, host_problem};
use crate::{
    exit::Exit,
    output::{data, say},
    problem::Problem,
    report,
    text::printable,
};

/// A livepatch that is kept on this machine, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    livepatch: String,
    digest: Sha256Digest,
    release: String,
    state: &'static str,
    fixes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_out: Option<String>,
}

/// Lists the livepatches that are kept on this machine.
pub fn run(arguments: &ViewArgs) -> Result<Exit, Problem> {
    let rows = rows(&arguments.state).map_err(|problem| host_problem(&problem))?;
    if arguments.json {
        report::print_json(&rows)?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        say("no livepatch is kept on this machine");
        return Ok(Exit::Done);
    }
    let mut table = report::table();
    table.set_header(["LIVEPATCH", "DIGEST", "KERNEL", "STATE", "FIXES"]);
    for row in rows {
        let digest = format!("{:.12}", row.digest.to_string());
        let fixes = row.fixes.iter().map(|fix| printable(fix)).collect::<Vec<_>>().join("\n");
        let release = printable(&row.release);
        table.add_row([printable(&row.livepatch), digest, release, row.state.to_owned(), fixes]);
    }
    data(&table.to_string())?;
    Ok(Exit::Done)
}

fn rows(state: &StateArgs) -> Result<Vec<Row>, elivepatch_host::HostProblem> {
    let machine = Machine::this();
    let directory = state.directory();
    let known = directory.read()?;
    let kernel = Kernel::running(&machine)?;
    let of_kernel = known.of(&kernel);
    let loaded = livepatches(&machine)?;
    let mut rows = Vec::new();
    for digest in directory.held_digests()? {
        let (name, release, build_id, fixes) = match directory.held(digest) {
            Ok(Some(held)) => {
                let fixes = held.manifest.iter().flat_map(|manifest| &manifest.fixes);
                let fixes = fixes.map(|fix| fix.name.clone()).collect();
                let release = held.module.release().to_owned();
                (held.module.name, release, held.module.build_id, fixes)
            }
            Ok(None) => continue,
            Err(_) => ("damaged".to_owned(), String::new(), None, Vec::new()),
        };
        let locked_out = known.kernels.values().find_map(|kernel| kernel.locked_out.get(&digest));
        let is_active = build_id.is_some()
            && loaded.iter().any(|there| there.is_active() && there.build_id == build_id);
        let state = match (locked_out.is_some(), is_active) {
            (true, _) => "locked out",
            (_, true) => "active",
            _ if of_kernel.current == Some(digest) => "not loaded",
            _ => "kept",
        };
        let locked_out = locked_out.map(|lockout| lockout.reason.clone());
        rows.push(Row { livepatch: name, digest, release, state, fixes, locked_out });
    }
    Ok(rows)
}
