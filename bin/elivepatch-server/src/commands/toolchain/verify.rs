use elivepatch_server::config::Places;

use super::find;
use crate::{
    arguments::Arguments,
    commands::{failed, load_config, open_cache},
    error::CommandError,
    runner,
};

/// The most differences that are shown.
const SHOWN: usize = 20;

/// Compares every file of a toolchain root with what it was when it was made.
pub fn run(arguments: &Arguments, name: &str) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let cache = open_cache(&config)?;
    let toolchains = runner::toolchains(&config, &cache).map_err(failed)?;
    let recipe = find(&toolchains, name)?;
    let name = &recipe.name;
    let differences = toolchains.verify(recipe).map_err(failed)?.ok_or_else(|| {
        CommandError::input(
            anyhow::anyhow!("there is no toolchain root {name}, or it is of another recipe's text"),
            format!("elivepatch-server toolchain create {name}"),
        )
    })?;
    if differences.is_empty() {
        anstream::println!("{name} is what it was when it was made");
        return Ok(());
    }
    for difference in differences.iter().take(SHOWN) {
        anstream::println!("{difference}");
    }
    if differences.len() > SHOWN {
        anstream::println!("… and {} more", differences.len() - SHOWN);
    }
    Err(CommandError::failed(
        anyhow::anyhow!("the toolchain root {name} is not what it was when it was made"),
        format!("elivepatch-server toolchain remove {name}; the next build makes it anew"),
    ))
}
