use std::{path::Path, process::Command};

use clap::Args;
use elivepatch_host::{Applied, Booted, Host, Machine};

use super::{StateArgs, Teller, guard, host_problem, open};
use crate::{
    exit::Exit,
    output::say,
    problem::{Problem, warn},
    text::duration,
};

/// `elivepatch boot`.
#[derive(Debug, Args)]
pub struct BootArgs {
    #[command(flatten)]
    state: StateArgs,
    /// Say that the machine is about to be shut down, so that its end is not put down to the livepatch
    #[arg(long)]
    shutdown: bool,
}

/// Loads the last livepatch of this kernel; to be run early at boot.
pub fn run(arguments: &BootArgs) -> Result<Exit, Problem> {
    let machine = Machine::this();
    let directory = arguments.state.directory();
    if arguments.shutdown {
        if !is_stopping() {
            say("the system is not being shut down: the guard goes on");
            return Ok(Exit::Done);
        }
        open(&machine, &directory)?.shut_down().map_err(|problem| host_problem(&problem))?;
        return Ok(Exit::Done);
    }
    let mut teller = Teller::default();
    let booted = Host::boot(&machine, &directory, &mut |progress| teller.tell(&progress))
        .map_err(|problem| host_problem(&problem))?;
    match booted {
        Booted::SwitchedOff => {
            say("elivepatch=off is on the kernel's command line: nothing is loaded");
        }
        Booted::NothingKnown => say("no livepatch belongs to this kernel: nothing is loaded"),
        Booted::NothingToLoad { locked_out } => {
            for (digest, reason) in &locked_out {
                warn(&format!("{:.12} is locked out: {reason}", digest.to_string()));
            }
            say("nothing is loaded; elivepatch status says more");
        }
        Booted::Loaded { name, applied, died_under, is_guarded } => {
            if let Some(digest) = died_under {
                warn(&format!(
                    "the machine came to its end soon after {:.12} was loaded: it is locked out; elivepatch \
                     status says more",
                    digest.to_string()
                ));
            }
            let time = match applied {
                Applied::Loaded { took, .. } => duration(took.as_secs_f64()),
                Applied::AlreadyActive => "already".to_owned(),
            };
            say(&format!("{name} is active ({time})"));
            if is_guarded {
                guard::warn_without(guard::start(&directory));
            }
        }
    }
    Ok(Exit::Done)
}

/// Whether systemd, where it runs, is shutting the machine down: a unit is stopped for other reasons, too. Whoever has
/// no systemd knows when he says it.
fn is_stopping() -> bool {
    if !Path::new("/run/systemd/system").is_dir() {
        return true;
    }
    let asked = Command::new("systemctl").arg("is-system-running").output();
    // One that cannot be asked any more has gone far with it.
    asked.map_or(true, |asked| {
        let state = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        matches!(state.as_str(), "stopping" | "offline" | "unknown" | "")
    })
}
