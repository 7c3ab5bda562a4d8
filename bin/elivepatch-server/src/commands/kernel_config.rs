use std::io::Write as _;

use anyhow::Context as _;
use elivepatch_builder::Observer;
use elivepatch_model::{BuildEvent, KernelRelease};
use elivepatch_server::config::Places;

use super::load_config;
use crate::{arguments::Arguments, error::CommandError, runner};

/// Prints the config of a stock kernel: what a client on another machine sends for it.
pub fn run(arguments: &Arguments, release: &KernelRelease) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let text = runner::stock_config(&config, release, &Talker).map_err(|failure| {
        let hint = failure.hint.clone();
        let details = failure.details.join("; ");
        let error = anyhow::Error::new(failure);
        let error =
            if details.is_empty() { error } else { anyhow::Error::msg(details).context(error) };
        CommandError::input(error, hint)
    })?;
    std::io::stdout()
        .write_all(&text)
        .context("cannot write the config")
        .map_err(|error| CommandError::input(error, "look where the output goes"))
}

/// Says what takes time.
struct Talker;

impl Observer for Talker {
    fn event(&self, event: BuildEvent) {
        if let BuildEvent::Log { line, .. } = event {
            anstream::eprintln!("{line}");
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}
