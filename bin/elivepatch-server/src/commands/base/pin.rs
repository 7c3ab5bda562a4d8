use elivepatch_builder::pin_base;
use elivepatch_server::config::Places;

use crate::{
    arguments::Arguments,
    commands::{load_config, of_housekeeping, open_cache},
    error::CommandError,
};

/// Pins a base, or unpins it.
pub fn run(arguments: &Arguments, name: &str, pinned: bool) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let cache = open_cache(&config)?;
    let name = pin_base(&cache, name, pinned).map_err(of_housekeeping)?;
    match pinned {
        true => anstream::println!("{name} stays, whatever the disk budget says"),
        false => anstream::println!("{name} may go when the disk budget says so"),
    }
    Ok(())
}
