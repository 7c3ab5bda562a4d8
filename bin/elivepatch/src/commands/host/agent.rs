use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use elivepatch_agent::{Agent, AgentOptions, Surroundings, Unreached};
use elivepatch_api::{Assigned, HostFault, HostOrder, HostReport};
use elivepatch_host::{Applying, Enrolment, Machine, StateDirectory};
use elivepatch_model::{HostName, TargetFacts};
use jiff::{ZonedDateTime, civil::DateTime};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use super::{StateArgs, apply, guard, host_problem};
use crate::{
    exit::Exit,
    output::say,
    problem::{Problem, warn},
    server::Server,
    target::{self, running::RunningKernel},
    text::printable,
};

/// Where the options are when nothing else is said.
const OPTIONS_FILE: &str = "/etc/elivepatch/agent.toml";

/// How often it is looked whether the machine was enrolled anew.
const ENROLMENT_LOOK: Duration = Duration::from_secs(30);

/// `elivepatch agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// One round only, for cron: report, and do what is to be done now
    #[arg(long)]
    once: bool,
    /// The maintenance window and other options [default: /etc/elivepatch/agent.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    state: StateArgs,
}

/// Keeps this machine as its server wants it.
pub async fn run(arguments: &AgentArgs) -> Result<Exit, Problem> {
    let machine = Machine::this();
    let directory = arguments.state.directory();
    let path = arguments.config.as_deref();
    let options = AgentOptions::read(path.unwrap_or(Path::new(OPTIONS_FILE)), path.is_some());
    let mut options = options.map_err(|error| {
        let problem = Problem::input(error.to_string());
        let problem = match std::error::Error::source(&error) {
            Some(source) => problem.caused_by(source),
            None => problem,
        };
        problem.hint("docs/agent.md describes the file")
    })?;
    if arguments.once {
        // Whoever runs it by a timer spreads the times of all machines there.
        options.jitter = Duration::ZERO;
        let enrolment = enrolment(&directory)?;
        let mut agent = agent(&machine, &directory, &enrolment, &options)?;
        agent.round().await;
        return Ok(match agent.is_well() {
            true => Exit::Done,
            false => Exit::Host,
        });
    }
    let cannot = |error| Problem::new(Exit::Bug, "cannot wait for signals").caused_by(&error);
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    loop {
        let enrolled = enrolment(&directory)?;
        say(&format!("agent of {} for {}", enrolled.name, printable(&enrolled.url)));
        let mut agent = agent(&machine, &directory, &enrolled, &options)?;
        notify_ready();
        // Until the machine is enrolled anew: the token of before is of no use then.
        while !is_enrolled_anew(&directory, &enrolled) {
            // A signal that comes meanwhile is seen after it: a load is not left half done.
            let pause = agent.round().await;
            tokio::select! {
                () = enrolled_anew(&directory, &enrolled, pause) => {}
                _ = terminate.recv() => return Ok(Exit::Done),
                _ = interrupt.recv() => return Ok(Exit::Done),
            }
        }
    }
}

/// Where this machine is registered.
fn enrolment(directory: &StateDirectory) -> Result<Enrolment, Problem> {
    let enrolment = directory.enrolment().map_err(|problem| host_problem(&problem))?;
    enrolment.ok_or_else(|| {
        Problem::input("this machine is not registered at a server")
            .hint("register it: elivepatch enrol --url URL --token-file FILE")
    })
}

fn agent<'a>(
    machine: &'a Machine,
    directory: &'a StateDirectory,
    enrolment: &Enrolment,
    options: &AgentOptions,
) -> Result<Agent<'a, Around>, Problem> {
    let place = tempfile::tempdir()
        .map_err(|error| Problem::input("cannot make a temporary directory").caused_by(&error))?;
    let (server, name) = (Server::of_enrolment(enrolment)?, enrolment.name.clone());
    let around = Around { server, name: name.clone(), directory: directory.clone(), place };
    Agent::new(machine, directory, name, options.clone(), around)
        .map_err(|problem| host_problem(&problem))
}

/// Whether another enrolment is there. One that cannot be read just now is no other one.
fn is_enrolled_anew(directory: &StateDirectory, known: &Enrolment) -> bool {
    matches!(directory.enrolment(), Ok(Some(there)) if there != *known)
}

/// Waits for a time, or until the machine is enrolled anew.
async fn enrolled_anew(directory: &StateDirectory, known: &Enrolment, time: Duration) {
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end && !is_enrolled_anew(directory, known) {
        let left = end - tokio::time::Instant::now();
        tokio::time::sleep(left.min(ENROLMENT_LOOK)).await;
    }
}

/// Tells systemd that the agent works.
fn notify_ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        warn(&format!("systemd cannot be told that the agent works: {error}"));
    }
}

/// The machine and the network around the agent.
struct Around {
    server: Server,
    name: HostName,
    directory: StateDirectory,
    /// Where a livepatch is until it is kept.
    place: TempDir,
}

impl Surroundings for Around {
    fn target(&self) -> Result<TargetFacts, String> {
        target::told(&RunningKernel::inspect()).map_err(|problem| problem.in_one_line())
    }

    async fn report(&self, report: &HostReport) -> Result<HostOrder, Unreached> {
        self.server.client.report(&self.name, report).await.map_err(|error| {
            let problem = self.server.problem(&error);
            let hint = problem.hint_text().unwrap_or("see the server's log").to_owned();
            Unreached { why: problem.in_one_line(), hint }
        })
    }

    async fn fetch(&self, assigned: &Assigned) -> Result<Applying, HostFault> {
        let place = self.place.path();
        let fetched = apply::fetch(&self.server, assigned.build, place, &self.directory).await;
        fetched.map_err(|problem| HostFault {
            what: problem.in_one_line(),
            hint: problem.hint_text().unwrap_or("see the server's log").to_owned(),
        })
    }

    fn start_guard(&self) {
        guard::warn_without(guard::start(&self.directory));
    }

    fn say(&self, text: &str) {
        // It may quote what a server has sent.
        say(&printable(text));
    }

    fn now(&self) -> DateTime {
        ZonedDateTime::now().datetime()
    }
}
