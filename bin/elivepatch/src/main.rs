//! The elivepatch client: asks a server for a livepatch, watches the build and stores the result.
//!
//! Standard output is data, standard error is talk. See [`exit::EXIT_CODES`] for how it ends.

mod check_report;
mod classic;
mod cli;
mod commands;
mod credentials;
mod cve;
mod destination;
mod download;
mod exit;
mod facts_report;
mod fix_name;
mod inputs;
mod later;
mod live;
mod livepatch_report;
mod manifest_file;
mod manifest_key;
mod manual;
mod output;
mod problem;
mod progress;
mod report;
mod server;
mod source_tree;
mod target;
mod text;
mod watch;
mod watch_run;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use clap::CommandFactory;

use crate::{classic::Understood, cli::Cli, exit::Exit, problem::Problem};

fn main() -> ExitCode {
    report_panics();
    // clap counts an option that the environment gives as one that is given.
    if std::env::args_os().len() <= 1 {
        output::say(&Cli::command().render_help().ansi().to_string());
        return Exit::Usage.into();
    }
    let Understood { cli, warnings } = match classic::command_line() {
        Ok(understood) => understood,
        Err(problem) => return problem.report().into(),
    };
    cli.color.apply();
    // A panic becomes an exit code. Nothing of what it may have left half-done is looked at again.
    match catch_unwind(AssertUnwindSafe(|| run(cli, &warnings))) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(problem)) => problem.report().into(),
        Err(_) => Exit::Bug.into(),
    }
}

fn run(mut cli: Cli, warnings: &[String]) -> Result<Exit, Problem> {
    classic::set_up(&mut cli)?;
    for warning in warnings {
        problem::warn(warning);
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Problem::new(Exit::Bug, "cannot start the asynchronous runtime").caused_by(&error)
        })?;
    runtime.block_on(commands::run(cli))
}

/// Prints a panic as what it is: a bug, with what is needed to report it.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        Problem::new(Exit::Bug, format!("elivepatch {version} panicked at {place}: {text}"))
            .hint(problem::REPORT_HINT)
            .report();
    }));
}
