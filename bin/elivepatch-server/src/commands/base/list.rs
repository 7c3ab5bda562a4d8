use elivepatch_builder::{ListedBase, cache_bytes, list_bases};
use elivepatch_model::BaseKind;
use elivepatch_server::config::Places;

use crate::{
    arguments::Arguments,
    commands::{load_config, of_housekeeping, open_cache},
    error::CommandError,
    report,
};

/// Lists the bases in the cache.
pub fn run(arguments: &Arguments, json: bool) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let cache = open_cache(&config)?;
    let bases = list_bases(&cache).map_err(of_housekeeping)?;
    if json {
        report::json(&bases);
    } else if bases.is_empty() {
        anstream::eprintln!("no base is there yet; the first build of a kernel makes one");
    } else {
        report::table(&["BASE", "KIND", "SIZE", "LAST USED (UTC)", ""], bases.iter().map(row));
        let bytes = bases.iter().map(|base| base.bytes).sum();
        let all = cache_bytes(&cache).map_err(of_housekeeping)?;
        anstream::eprintln!(
            "{} in all, of {} in the cache",
            report::size(bytes),
            report::size(all)
        );
    }
    Ok(())
}

fn row(base: &ListedBase) -> Vec<String> {
    let kind = match base.kind {
        Some(BaseKind::Prepared) => "prepared",
        Some(BaseKind::Built) => "built",
        None => "damaged",
    };
    let marks = [("pinned", base.pinned), ("in use", base.in_use)];
    let marks: Vec<&str> = marks.iter().filter(|(_, is)| *is).map(|(mark, _)| *mark).collect();
    vec![
        base.name.clone(),
        kind.to_owned(),
        report::size(base.bytes),
        report::time(base.last_used),
        marks.join(", "),
    ]
}
