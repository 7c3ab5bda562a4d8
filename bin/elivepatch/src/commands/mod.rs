//! The commands, one file each.

pub mod build;
pub mod builds;
pub mod cancel;
pub mod check;
pub mod completions;
pub mod cve;
pub mod drop;
pub mod facts;
pub mod host;
pub mod man;
pub mod options;
pub mod order;
pub mod rebuild;
mod rebuild_texts;
pub mod show;

use elivepatch_model::{BuildNumber, RunNumber};

use self::cve::CveArgs;
use crate::{
    cli::{Cli, Command},
    exit::Exit,
    problem::Problem,
};

/// Runs the command that was given.
pub async fn run(cli: Cli) -> Result<Exit, Problem> {
    match cli.command {
        None if cli.classic.cve => cve::run(&CveArgs::classic(cli.classic, cli.build)).await,
        None => build::run(&cli.build).await,
        Some(Command::Build(arguments)) => build::run(&arguments).await,
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Cve(arguments)) => cve::run(&arguments).await,
        Some(Command::Drop(arguments)) => drop::run(*arguments.0).await,
        Some(Command::Apply(arguments)) => host::apply::run(&arguments).await,
        Some(Command::Status(arguments)) => host::status::run(&arguments),
        Some(Command::List(arguments)) => host::list::run(&arguments),
        Some(Command::Revert(arguments)) => host::revert::run(&arguments),
        Some(Command::History(arguments)) => host::history::run(&arguments),
        Some(Command::Unlock(arguments)) => host::unlock::run(&arguments),
        Some(Command::Boot(arguments)) => host::boot::run(&arguments),
        Some(Command::Agent(arguments)) => host::agent::run(&arguments).await,
        Some(Command::Guard(arguments)) => host::guard::run(&arguments).await,
        Some(Command::Enrol(arguments)) => host::enrol::run(&arguments).await,
        Some(Command::Facts(arguments)) => facts::run(&arguments),
        Some(Command::Builds(arguments)) => builds::run(&arguments).await,
        Some(Command::Rebuild(arguments)) => rebuild::run(&arguments).await,
        Some(Command::Show(arguments)) => show::run(&arguments).await,
        Some(Command::Cancel(arguments)) => cancel::run(&arguments).await,
        Some(Command::Completions(arguments)) => completions::run(&arguments),
        Some(Command::Man(arguments)) => man::run(&arguments),
    }
}

/// Reads a build's number from the command line.
fn build_number(text: &str) -> Result<BuildNumber, String> {
    match text.parse() {
        Ok(number) if number > BuildNumber(0) => Ok(number),
        _ => Err("a build has a number: 1, 2, 3, …".to_owned()),
    }
}

/// Reads a CVE run's number from the command line.
fn run_number(text: &str) -> Result<RunNumber, String> {
    match text.parse() {
        Ok(number) if number > RunNumber(0) => Ok(number),
        _ => Err("a run has a number: 1, 2, 3, …".to_owned()),
    }
}
