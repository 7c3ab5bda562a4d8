use clap::CommandFactory;
use elivepatch_manual::{Shell, completions};

use crate::{arguments::Arguments, error::CommandError};

/// Prints the completions for a shell.
pub fn run(shell: Shell) -> Result<(), CommandError> {
    let text = completions("elivepatch-server", &Arguments::command(), shell);
    anstream::print!("{}", String::from_utf8_lossy(&text));
    Ok(())
}
