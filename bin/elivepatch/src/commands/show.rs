use clap::Args;
use elivepatch_model::BuildNumber;

use super::{
    build_number,
    host::{StateArgs, show},
};
use crate::{exit::Exit, problem::Problem, report, server::ServerArgs};

/// `elivepatch show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The number of a build on the server, a module's file, or a livepatch that is kept or loaded on this machine: its
    /// name, or the beginning of its digest
    #[arg(value_name = "BUILD|MODULE|LIVEPATCH")]
    what: String,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Shows a build as it is now, or a livepatch.
pub async fn run(arguments: &ShowArgs) -> Result<Exit, Problem> {
    let what = &arguments.what;
    match what.bytes().all(|byte| byte.is_ascii_digit()) {
        true => build(arguments, build_number(what).map_err(Problem::usage)?).await,
        false => show::run(what, &arguments.state, arguments.json),
    }
}

async fn build(arguments: &ShowArgs, number: BuildNumber) -> Result<Exit, Problem> {
    let server = arguments.server.open()?;
    let build = server.client.build(number).await.map_err(|error| server.problem(&error))?;
    if arguments.json {
        report::print_json(&build)?;
    } else {
        report::print_build(&build)?;
    }
    Ok(Exit::Done)
}
