//! The commands, one per file.

pub mod all;
pub mod check_config;
pub mod init;

use camino::Utf8Path;
use elivepatch_server::{
    ServerConfig,
    config::{ConfigError, Places},
};

use crate::{arguments::Arguments, error::CommandError};

/// Reads the config. A file that nobody named and that is not there is no error: all keys have
/// defaults.
fn load_config(arguments: &Arguments, places: &Places) -> Result<ServerConfig, CommandError> {
    let path = arguments.config_file(places);
    let overrides = arguments.overrides();
    let loaded = match ServerConfig::load(&path, places, &overrides) {
        Err(ConfigError::Missing { .. }) if arguments.config.is_none() => {
            ServerConfig::parse("", Utf8Path::new("the command line"), places, &overrides)
        }
        other => other,
    };
    loaded.map_err(|error| {
        let hint = match &error {
            ConfigError::Missing { path } => format!("elivepatch-server init --config {path}"),
            ConfigError::Unreadable { path, .. } => format!("ls -l {path}"),
            ConfigError::Syntax { .. } | ConfigError::Invalid { .. } => {
                "correct it; elivepatch-server init --config OTHER writes one that explains each key"
                    .to_owned()
            }
        };
        CommandError::input(error, hint)
    })
}

/// Makes a directory that only this user can look into.
fn make_directory(path: &Utf8Path) -> Result<(), CommandError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("cannot make the directory {path}"));
        CommandError::input(error, "name another place in the config, or make it as root")
    })
}
