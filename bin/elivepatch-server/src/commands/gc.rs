use elivepatch_builder::{Sweep, Swept, index_names};
use elivepatch_server::config::Places;

use super::{failed, load_config, of_housekeeping, open_cache};
use crate::{
    arguments::{Arguments, GcArguments},
    error::CommandError,
    report, runner,
};

/// Removes from the cache what nobody holds and nobody needs, and what is over the disk budget.
pub fn run(arguments: &Arguments, gc: &GcArguments) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let cache = open_cache(&config)?;
    let toolchains = runner::toolchains(&config, &cache).map_err(failed)?;
    let sweep = Sweep {
        budget_bytes: config.cache.disk_budget_gib.map(|gib| gib << 30),
        recipes: toolchains.names(),
        indexes: index_names(&runner::options(&config), &cache, &toolchains),
        at_once: true,
        dry_run: gc.dry_run,
    };
    let swept = sweep.run(&cache).map_err(of_housekeeping)?;
    if gc.json {
        report::json(&swept);
    } else {
        print(&swept, gc.dry_run);
    }
    Ok(())
}

fn print(swept: &Swept, is_dry_run: bool) {
    let (removed, freed) = match is_dry_run {
        true => ("would remove", "would be freed"),
        false => ("removed", "freed"),
    };
    for entry in &swept.removed {
        anstream::println!(
            "{removed} {} {}: {}, {}",
            entry.kind,
            entry.name,
            report::size(entry.bytes),
            entry.reason
        );
    }
    for kept in &swept.kept {
        anstream::println!("kept {} {}: {}", kept.kind, kept.name, kept.reason);
    }
    let budget = match swept.budget_bytes {
        Some(budget) => format!("; the budget is {}", report::size(budget)),
        None => "; there is no disk budget: disk_budget_gib in the config".to_owned(),
    };
    anstream::println!(
        "{} {freed}, {} left{budget}",
        report::size(swept.freed_bytes),
        report::size(swept.left_bytes)
    );
    if swept.over_budget_bytes() > 0 {
        report::warn(&format!(
            "{} over the budget: what is left is in use, pinned, a toolchain root, an index of apt's or the \
             mirror of the feed",
            report::size(swept.over_budget_bytes())
        ));
    }
}
