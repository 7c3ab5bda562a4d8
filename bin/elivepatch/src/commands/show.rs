use clap::Args;
use elivepatch_model::BuildNumber;

use super::build_number;
use crate::{exit::Exit, problem::Problem, report, server::ServerArgs};

/// `elivepatch show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The build's number
    #[arg(value_parser = build_number)]
    build: BuildNumber,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the build as JSON
    #[arg(long)]
    json: bool,
}

/// Shows a build as it is now.
pub async fn run(arguments: &ShowArgs) -> Result<Exit, Problem> {
    let server = arguments.server.open()?;
    let build =
        server.client.build(arguments.build).await.map_err(|error| server.problem(&error))?;
    if arguments.json {
        report::print_json(&build)?;
    } else {
        report::print_build(&build)?;
    }
    Ok(Exit::Done)
}
