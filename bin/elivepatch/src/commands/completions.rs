use clap::{Args, CommandFactory};
use elivepatch_manual::{Shell, completions};

use crate::{cli::Cli, exit::Exit, output::data, problem::Problem};

/// `elivepatch completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completions for a shell.
pub fn run(arguments: &CompletionsArgs) -> Result<Exit, Problem> {
    let text = completions("elivepatch", &Cli::command(), arguments.shell);
    data(String::from_utf8_lossy(&text).trim_end())?;
    Ok(Exit::Done)
}
