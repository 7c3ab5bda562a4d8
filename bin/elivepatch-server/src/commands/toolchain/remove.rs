use elivepatch_server::config::Places;

use crate::{
    arguments::Arguments,
    commands::{failed, load_config, of_housekeeping, open_cache},
    error::CommandError,
    report, runner,
};

/// Removes a toolchain root that nobody uses.
pub fn run(arguments: &Arguments, name: &str) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let cache = open_cache(&config)?;
    let toolchains = runner::toolchains(&config, &cache).map_err(failed)?;
    let (name, bytes) = toolchains.remove(name).map_err(of_housekeeping)?;
    anstream::println!("{name} is removed: {} freed", report::size(bytes));
    Ok(())
}
