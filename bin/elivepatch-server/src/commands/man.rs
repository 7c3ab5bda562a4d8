use camino::Utf8Path;
use clap::CommandFactory;
use elivepatch_manual::{day, write_pages};

use crate::{arguments::Arguments, error::CommandError, manual::manual, report};

/// Writes the manual pages.
pub fn run(directory: &Utf8Path, date: Option<i64>) -> Result<(), CommandError> {
    let day = day(date)
        .map_err(|error| CommandError::input(error, "give seconds since 1970 with --date"))?;
    let count = write_pages(Arguments::command(), &manual(), &day, directory.as_std_path())
        .map_err(|error| {
            let error = anyhow::Error::new(error)
                .context(format!("cannot write manual pages into {directory}"));
            CommandError::input(error, "name another directory with --output, or run it as root")
        })?;
    report::say(&format!("{count} pages in {}", directory.join("man8")));
    Ok(())
}
