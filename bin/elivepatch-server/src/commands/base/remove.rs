use elivepatch_builder::remove_base;
use elivepatch_server::config::Places;

use crate::{
    arguments::Arguments,
    commands::{load_config, of_housekeeping, open_cache},
    error::CommandError,
    report,
};

/// Removes a base that nobody uses.
pub fn run(arguments: &Arguments, name: &str) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let cache = open_cache(&config)?;
    let (name, bytes) = remove_base(&cache, name).map_err(of_housekeeping)?;
    anstream::println!("{name} is removed: {} freed", report::size(bytes));
    Ok(())
}
