use clap::Args;
use elivepatch_host::{Machine, Reverted};

use super::{StateArgs, Teller, apply::LoadArgs, guard, host_problem, open};
use crate::{
    exit::Exit,
    output::data,
    problem::{Problem, warn},
};

/// `elivepatch revert`.
#[derive(Debug, Args)]
pub struct RevertArgs {
    /// The livepatch to go back to, as elivepatch list names it [default: none, the kernel as it was booted]
    #[arg(long, value_name = "LIVEPATCH")]
    to: Option<String>,
    #[command(flatten)]
    how: LoadArgs,
    #[command(flatten)]
    state: StateArgs,
}

/// Takes back what is loaded.
pub fn run(arguments: &RevertArgs) -> Result<Exit, Problem> {
    let machine = Machine::this();
    let directory = arguments.state.directory();
    let mut host = open(&machine, &directory)?;
    let to = match &arguments.to {
        Some(given) => Some(host.find(given).map_err(|problem| host_problem(&problem))?),
        None => None,
    };
    // As before anything is loaded.
    let guarded = to.map_or(Ok(()), |_| guard::start(&directory));
    let mut teller = Teller::default();
    let options = arguments.how.options();
    let reverted = host
        .revert(to, "asked for", &options, &mut |progress| teller.tell(&progress))
        .map_err(|problem| host_problem(&problem))?;
    drop(host);
    match reverted {
        Reverted::ToNone { from, held } => {
            if let Some(problem) = held {
                warn(&problem);
            }
            data(&format!("{from} is taken back: the kernel is as it was booted"))?;
        }
        Reverted::To { from, to } => {
            data(&format!("{from} is taken back: {to} is active"))?;
        }
    }
    guard::warn_without(guarded);
    Ok(Exit::Done)
}
