use std::cell::OnceCell;

use elivepatch_builder::{Apt, Cache};
use elivepatch_server::config::Places;

use super::find;
use crate::{
    arguments::Arguments,
    commands::{Talker, enter_cache, failed, load_config},
    error::CommandError,
    runner,
};

/// Makes the toolchain root of a recipe; one that is there and whole is left as it is.
pub fn run(arguments: &Arguments, name: &str) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    enter_cache(&config)?;
    // As for a build: others read what is made here, whatever the caller's mask.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let cache = Cache::open(&config.cache_directory).map_err(failed)?;
    let toolchains = runner::toolchains(&config, &cache).map_err(failed)?;
    let recipe = find(&toolchains, name)?;
    let debian = toolchains.with_suites(&runner::options(&config).debian);
    let opened = OnceCell::new();
    let apt = || match opened.get() {
        Some(apt) => Ok(apt),
        None => Apt::open(&cache, &debian).map(|apt| opened.get_or_init(|| apt)),
    };
    let root = toolchains.root(recipe, &apt, &Talker).map_err(failed)?;
    anstream::println!("{} is ready: {}", recipe.name, root.compiler_text());
    if !root.compiler_text().starts_with(&recipe.compiler_text_begins) {
        crate::report::warn(&format!(
            "the recipe serves kernels built by {}, and its compiler is not such a one: no kernel \
             will use it",
            recipe.compilers()
        ));
    }
    Ok(())
}
