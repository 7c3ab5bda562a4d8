//! The commands that look at and change what is loaded on this machine. None of them needs a server, but for
//! fetching a livepatch that is not here yet.

pub mod agent;
pub mod apply;
pub mod boot;
pub mod enrol;
pub mod guard;
pub mod history;
pub mod list;
pub mod revert;
mod server_side;
pub mod show;
pub mod status;
pub mod unlock;

use std::path::PathBuf;

use clap::Args;
use elivepatch_host::{Blocker, Host, HostProblem, Machine, Progress, StateDirectory};

use crate::{exit::Exit, manifest_key::ManifestKeyArgs, output::say, problem::Problem};

/// Where the state of this machine is.
#[derive(Debug, Clone, Default, Args)]
pub struct StateArgs {
    /// Where livepatches and what is known of them are kept [default: /var/lib/elivepatch]
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "ELIVEPATCH_STATE_DIRECTORY",
        hide_env_values = true
    )]
    pub state_directory: Option<PathBuf>,
    #[command(flatten)]
    pub manifest_key: ManifestKeyArgs,
}

impl StateArgs {
    /// What the environment says, where the command line has no such option.
    pub fn of_environment() -> Self {
        let directory = std::env::var_os("ELIVEPATCH_STATE_DIRECTORY");
        let state_directory = directory.filter(|text| !text.is_empty()).map(PathBuf::from);
        Self { state_directory, manifest_key: ManifestKeyArgs::default() }
    }

    /// The directory.
    pub fn directory(&self) -> StateDirectory {
        let directory = StateDirectory::at(self.state_directory.as_deref());
        directory.trusting(self.manifest_key.keys())
    }
}

/// What the commands have that only look: `elivepatch status`, `list` and `history`.
#[derive(Debug, Args)]
pub struct ViewArgs {
    #[command(flatten)]
    state: StateArgs,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Opens what is needed to change what is loaded.
fn open<'a>(machine: &'a Machine, directory: &'a StateDirectory) -> Result<Host<'a>, Problem> {
    Host::open(machine, directory).map_err(|problem| host_problem(&problem))
}

/// Why something on the host was not done, as it is printed.
pub fn host_problem(problem: &HostProblem) -> Problem {
    let exit = match problem {
        HostProblem::Refused { .. }
        | HostProblem::SignatureRefused { .. }
        | HostProblem::Stuck { .. }
        | HostProblem::Stalled { .. }
        | HostProblem::CannotReverse { .. }
        | HostProblem::TakenBack { .. }
        | HostProblem::OtherAgent
        | HostProblem::Busy => Exit::Host,
        _ => Exit::Input,
    };
    let mut shown = Problem::new(exit, problem.to_string()).hint(problem.hint());
    if let Some(source) = std::error::Error::source(problem)
        // Of these the message says it.
        && !matches!(
            problem,
            HostProblem::Refused { .. }
                | HostProblem::SignatureRefused { .. }
                | HostProblem::Stuck { .. }
        )
    {
        shown = shown.caused_by(source);
    }
    match problem {
        HostProblem::Obstacles { obstacles, .. } => {
            for obstacle in obstacles.iter().skip(1) {
                shown = shown.aside(format!("also: {obstacle}"));
                shown = shown.aside(format!("      {}", obstacle.hint()));
            }
        }
        HostProblem::Stalled { blockers, .. } | HostProblem::CannotReverse { blockers, .. } => {
            for line in blockers.iter().flat_map(blocker_lines) {
                shown = shown.aside(line);
            }
        }
        _ => {}
    }
    shown
}

/// A task that is in the way, with its stack.
fn blocker_lines(blocker: &Blocker) -> Vec<String> {
    let mut lines = vec![blocker.to_string()];
    lines.extend(blocker.stack.iter().skip(1).map(|place| format!("    {place}")));
    lines
}

/// Says what goes on, each thing once.
#[derive(Debug, Default)]
struct Teller {
    last: String,
}

impl Teller {
    fn tell(&mut self, progress: &Progress<'_>) {
        let text = match progress {
            Progress::Loading => "loading the module".to_owned(),
            Progress::Busy => "the kernel is busy with another transition: trying again".to_owned(),
            Progress::Waiting([]) => "the transition is nearly over".to_owned(),
            Progress::Waiting(tasks) => format!("waiting for {}", told(tasks)),
            Progress::Reversing(tasks) => {
                format!("the transition does not end: it is reversed, because of {}", told(tasks))
            }
            Progress::TakingBack(name) => format!("taking {name} back"),
        };
        if text != self.last {
            say(&text);
            self.last = text;
        }
    }
}

/// The tasks in one line.
fn told(tasks: &[Blocker]) -> String {
    /// How many are named.
    const NAMED: usize = 3;
    let named: Vec<String> = tasks.iter().take(NAMED).map(ToString::to_string).collect();
    match tasks.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
