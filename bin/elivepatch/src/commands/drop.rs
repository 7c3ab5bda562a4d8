use std::path::PathBuf;

use clap::Args;

use super::{
    build::{self, BuildArgs},
    options::OptionArgs,
};
use crate::{exit::Exit, problem::Problem, server::ServerArgs, target::baseline::BaselineArgs};

/// `elivepatch drop`.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// A fix that is live: its patch's name, its CVE, or the beginning of its digest
    #[arg(value_name = "FIX", required = true)]
    fixes: Vec<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// The config of the running kernel, plain or gzip [default: where the distribution has it]
    #[arg(short = 'k', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What elivepatch facts saved of the machine on which the fixes are live [default: this one]
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    facts: Option<PathBuf>,
    #[command(flatten)]
    baseline: BaselineArgs,
    #[command(flatten)]
    how: OptionArgs,
    /// Where to store the module: a file or a directory [default: the current directory]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace another file that is there
    #[arg(long)]
    force: bool,
    /// Load the livepatch into the running kernel when it is stored: elivepatch apply
    #[arg(long)]
    apply: bool,
    /// Print the outcome with the manifest as JSON
    #[arg(long)]
    json: bool,
    /// How long the server may be away before the client gives up
    #[arg(long, value_name = "SECONDS", default_value = "60",
        value_parser = clap::value_parser!(u64).range(0..=86_400))]
    give_up_after: u64,
    /// Show what the build's tools print
    #[arg(long)]
    verbose: bool,
}

/// Orders what is live without some fixes.
pub async fn run(arguments: DropArgs) -> Result<Exit, Problem> {
    build::run(&BuildArgs {
        drop: arguments.fixes,
        server: arguments.server,
        config: arguments.config,
        facts: arguments.facts,
        baseline: arguments.baseline,
        how: arguments.how,
        output: arguments.output,
        force: arguments.force,
        apply: arguments.apply,
        json: arguments.json,
        give_up_after: arguments.give_up_after,
        verbose: arguments.verbose,
        ..BuildArgs::default()
    })
    .await
}
