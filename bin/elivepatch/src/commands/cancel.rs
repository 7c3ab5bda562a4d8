use clap::Args;
use elivepatch_model::BuildNumber;

use super::build_number;
use crate::{exit::Exit, output::say, problem::Problem, server::ServerArgs};

/// `elivepatch cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The build's number
    #[arg(value_parser = build_number)]
    build: BuildNumber,
    #[command(flatten)]
    server: ServerArgs,
}

/// Cancels a build, for everybody who has joined it.
pub async fn run(arguments: &CancelArgs) -> Result<Exit, Problem> {
    let server = arguments.server.open()?;
    let build =
        server.client.cancel(arguments.build).await.map_err(|error| server.problem(&error))?;
    say(&format!("build {} is {}", build.number, build.state));
    Ok(Exit::Done)
}
