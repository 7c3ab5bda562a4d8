use std::path::PathBuf;

use clap::{Args, CommandFactory};
use elivepatch_manual::{day, write_pages};

use crate::{cli::Cli, exit::Exit, manual::manual, output::say, problem::Problem};

/// `elivepatch man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where man1 is made; man looks into /usr/local/share/man
    #[arg(long, value_name = "DIRECTORY")]
    output: PathBuf,
    /// The seconds since 1970 of the day that stands on the pages [default: today]
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", hide_env_values = true)]
    date: Option<i64>,
}

/// Writes the manual pages.
pub fn run(arguments: &ManArgs) -> Result<Exit, Problem> {
    let day = day(arguments.date)
        .map_err(|error| Problem::input("--date: there is no such day").caused_by(&error))?;
    let directory = &arguments.output;
    let count = write_pages(Cli::command(), &manual(), &day, directory).map_err(|error| {
        Problem::input(format!("cannot write manual pages into {}", directory.display()))
            .caused_by(&error)
            .hint("name another directory with --output, or run it as root")
    })?;
    say(&format!("{count} pages in {}", directory.join("man1").display()));
    Ok(Exit::Done)
}
