use clap::Args;
use elivepatch_host::Machine;

use super::{StateArgs, host_problem, open};
use crate::{exit::Exit, output::data, problem::Problem};

/// `elivepatch unlock`.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// The livepatch, as elivepatch list names it
    #[arg(value_name = "LIVEPATCH")]
    livepatch: String,
    #[command(flatten)]
    state: StateArgs,
}

/// Lets a livepatch that was locked out be loaded again.
pub fn run(arguments: &UnlockArgs) -> Result<Exit, Problem> {
    let machine = Machine::this();
    let directory = arguments.state.directory();
    let mut host = open(&machine, &directory)?;
    let unlocked = host.find(&arguments.livepatch).and_then(|digest| host.unlock(digest));
    unlocked.map_err(|problem| host_problem(&problem))?;
    data(&format!("{} may be loaded again: elivepatch apply {0}", arguments.livepatch))?;
    Ok(Exit::Done)
}
