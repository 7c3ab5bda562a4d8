use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use clap::Args;
use elivepatch_host::{Guarded, Host, HostProblem, Machine, StateDirectory, next_look};

use super::{StateArgs, host_problem};
use crate::{
    exit::Exit,
    output::say,
    problem::{Problem, warn},
    text::duration,
};

/// How soon it is tried again while another elivepatch is at work.
const BUSY_PAUSE: Duration = Duration::from_secs(5);

/// How often looking may fail one after the other: longer than the guard time.
const MOST_FAILURES: u32 = 300;

/// `elivepatch guard`.
#[derive(Debug, Args)]
pub struct GuardArgs {
    #[command(flatten)]
    state: StateArgs,
}

/// Looks after the machine until it has lived with its livepatch for a quarter of an hour.
pub async fn run(arguments: &GuardArgs) -> Result<Exit, Problem> {
    let machine = Machine::this();
    let directory = arguments.state.directory();
    let mut failures = 0;
    loop {
        let guarded = Host::open(&machine, &directory).and_then(|mut host| host.guard(&mut |_| {}));
        let pause = match guarded {
            Ok(Guarded::Well { lived }) => {
                failures = 0;
                say(&format!("well after {}", duration(lived.as_secs_f64())));
                // When the time is over, one more look writes that down.
                next_look(lived).unwrap_or(BUSY_PAUSE)
            }
            Ok(Guarded::None) => return Ok(Exit::Done),
            Ok(Guarded::Disabled { name }) => {
                say(&format!("{name} was disabled by somebody: the guard ends"));
                return Ok(Exit::Done);
            }
            Ok(Guarded::TakenBack { name, health }) => {
                return Err(host_problem(&HostProblem::TakenBack { name, health }));
            }
            // A disk that is full now may have room soon, and the livepatch is still to be looked after.
            Err(problem) => {
                failures += 1;
                if failures > MOST_FAILURES {
                    return Err(host_problem(&problem));
                }
                say(&problem.to_string());
                BUSY_PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Warns when no guard could be started.
pub fn warn_without(started: io::Result<()>) {
    if let Err(why) = started {
        warn(&format!(
            "nothing looks after the machine for the next quarter of an hour ({why}): run elivepatch guard"
        ));
    }
}

/// Starts a guard that goes on when this program has ended and its terminal is closed.
pub fn start(directory: &StateDirectory) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let is_systemd = Path::new("/run/systemd/system").is_dir();
    let mut command = match is_systemd {
        true => {
            let mut command = Command::new("systemd-run");
            // At boot nothing may be waited for that waits for us.
            command.args(["--no-block", "--property=DefaultDependencies=no"]);
            command.args(["--quiet", "--collect", "--description=elivepatch guard", "--"]);
            command.arg(program);
            command
        }
        false => Command::new(program),
    };
    command.arg("guard").arg("--state-directory").arg(std::path::absolute(directory.path())?);
    // What systemd starts has another environment.
    if let Some(keys) = directory.keys() {
        command.arg("--manifest-key").arg(keys.to_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn()?;
    if is_systemd {
        return match child.wait()?.success() {
            true => Ok(()),
            false => Err(io::Error::other("systemd-run did not start it")),
        };
    }
    // For a process that goes on, such as the agent: what has ended is not to stay as a zombie.
    std::thread::spawn(move || child.wait());
    Ok(())
}
