use elivepatch_builder::{ListedToolchain, RootState};
use elivepatch_server::config::Places;

use crate::{
    arguments::Arguments,
    commands::{failed, load_config, of_housekeeping, open_cache},
    error::CommandError,
    report, runner,
};

/// Lists the toolchain roots.
pub fn run(arguments: &Arguments, json: bool) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let cache = open_cache(&config)?;
    let toolchains = runner::toolchains(&config, &cache).map_err(failed)?;
    let list = toolchains.list().map_err(of_housekeeping)?;
    if json {
        report::json(&list);
        return Ok(());
    }
    let header = ["TOOLCHAIN ROOT", "STATE", "SIZE", "LAST USED (UTC)", "COMPILER"];
    report::table(&header, list.iter().map(row));
    Ok(())
}

fn row(root: &ListedToolchain) -> Vec<String> {
    let is_there = root.state != RootState::NotMade;
    let state = match root.in_use {
        true => format!("{}, in use", root.state),
        false => root.state.to_string(),
    };
    let compiler = match (&root.compiler, &root.binutils) {
        (Some(compiler), Some(binutils)) => format!("{compiler}; {binutils}"),
        (Some(compiler), None) => compiler.clone(),
        (None, _) => root.serves.as_ref().map(|text| format!("for {text}")).unwrap_or_default(),
    };
    vec![
        root.name.clone(),
        state,
        if is_there { report::size(root.bytes) } else { String::new() },
        root.last_used.map(report::time).unwrap_or_default(),
        compiler,
    ]
}
