use std::io::Write as _;

use anyhow::Context as _;
use elivepatch_model::KernelRelease;
use elivepatch_server::config::Places;

use super::{Talker, enter_cache, failed, load_config};
use crate::{arguments::Arguments, error::CommandError, runner};

/// Prints the config of a stock kernel: what a client on another machine sends for it.
pub fn run(arguments: &Arguments, release: &KernelRelease) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    enter_cache(&config)?;
    let text = runner::stock_config(&config, release, &Talker).map_err(failed)?;
    std::io::stdout()
        .write_all(&text)
        .context("cannot write the config")
        .map_err(|error| CommandError::input(error, "look where the output goes"))
}
