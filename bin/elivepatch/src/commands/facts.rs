use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use elivepatch_model::Sha256Digest;

use crate::{
    destination::{self, Destination, Present},
    exit::Exit,
    facts_report,
    output::{data, say},
    problem::{Problem, warn},
    target::{self, Collected, baseline::BaselineArgs, facts_file, running::RunningKernel},
    text::shell_word,
};

/// `elivepatch facts`.
#[derive(Debug, Args)]
pub struct FactsArgs {
    /// The running kernel's config, plain or gzip, where it is not in a usual place
    #[arg(short = 'k', long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    baseline: BaselineArgs,
    /// Save the facts to a file, or to a directory under the name RELEASE.facts.json
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace another file that is there
    #[arg(long, requires = "output")]
    force: bool,
    /// Print what --output saves, as JSON
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// The directory that holds /proc, /sys, /etc and /boot of another system; for tests
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    root: Option<PathBuf>,
}

/// Shows or saves what is known of the running kernel.
pub fn run(arguments: &FactsArgs) -> Result<Exit, Problem> {
    let destination = match &arguments.output {
        Some(output) => Some(Destination::open(Some(output), arguments.force)?),
        None => None,
    };
    let kernel = match &arguments.root {
        None => RunningKernel::inspect(),
        Some(root) => RunningKernel::inspect_at(root).map_err(|error| {
            Problem::input(format!("there is no system below {}", root.display())).caused_by(&error)
        })?,
    };
    let config = arguments.config.as_deref();
    let collected = target::collect_facts(&kernel, config, &arguments.baseline)?;
    let text = facts_file::write(&collected);
    if arguments.json {
        data(String::from_utf8_lossy(&text).trim_end())?;
        if collected.config.is_none() {
            let why = collected.missing.iter().find(|missing| missing.what == "config");
            let why = why.map_or_else(String::new, |missing| format!(" ({})", missing.why));
            warn(&format!(
                "the facts hold no config{why}: no livepatch can be ordered with them; give it with \
                 --config FILE"
            ));
        }
        return Ok(Exit::Done);
    }
    facts_report::print(&collected)?;
    if let Some(destination) = destination {
        let path = save(&destination, &collected, &text)?;
        say(&format!("saved: {}", path.display()));
        say_what_next(&path, &collected);
    }
    Ok(Exit::Done)
}

/// Puts the file in its place. Only its owner can read it: it says much of the machine.
fn save(destination: &Destination, collected: &Collected, text: &[u8]) -> Result<PathBuf, Problem> {
    let path = destination.path_for(&format!("{}.facts.json", collected.facts.release));
    let mode = Permissions::from_mode(0o600);
    match destination::present(&path, &Sha256Digest::of(text))? {
        Present::Same => {
            let made = fs::set_permissions(&path, mode);
            made.map_err(|error| destination::write_problem(&path, &error))?;
            return Ok(path);
        }
        Present::Other if !destination.may_replace() => return Err(destination::occupied(&path)),
        _ => {}
    }
    let file = destination.text_file(text, &path)?;
    file.as_file()
        .set_permissions(mode)
        .map_err(|error| destination::write_problem(&path, &error))?;
    destination.put(file, &path)?;
    Ok(path)
}

fn say_what_next(path: &Path, collected: &Collected) {
    if collected.config.is_none() {
        say("no livepatch can be ordered with them: they hold no config");
        return;
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = shell_word(&name);
    say(&format!(
        "order with them on another machine: elivepatch build --facts {name} --patch FILE"
    ));
}
