use camino::Utf8PathBuf;
use elivepatch_builder::remove_work_directory;
use elivepatch_model::Sha256Digest;
use elivepatch_server::ServerConfig;

use crate::{commands::make_directory, error::CommandError};

/// The empty directory in which builds get theirs. It is named after the data directory, which must be locked: nobody
/// else works in it, and what lies there was left by an earlier run.
///
/// # Errors
/// When it cannot be emptied or made.
pub fn work_directory(config: &ServerConfig) -> Result<Utf8PathBuf, CommandError> {
    let name = Sha256Digest::of(config.data_directory.as_str().as_bytes()).short();
    let directory = config.cache_directory.join("work").join(name);
    remove_work_directory(&directory)
        .map_err(|error| CommandError::input(error, format!("sudo rm -r {directory}")))?;
    make_directory(&directory)?;
    Ok(directory)
}
