//! The commands, one per file.

pub mod all;
pub mod audit;
pub mod base;
mod bundle;
pub mod certificate;
pub mod check_config;
pub mod completions;
pub mod feed;
pub mod fix;
pub mod gc;
pub mod host;
pub mod init;
pub mod kernel_config;
pub mod man;
pub mod manifest_key;
pub mod module_key;
pub mod token;
pub mod toolchain;
pub mod worker;

use camino::Utf8Path;
use elivepatch_builder::{Cache, HousekeepingError, Observer};
use elivepatch_model::{BuildEvent, Failure, Fault};
use elivepatch_server::{
    ServerConfig,
    app::DataDirectoryError,
    config::{ConfigError, Places},
};

use crate::{arguments::Arguments, error::CommandError, owner};

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

/// Does what waits for the store and the network, on a runtime of its own.
fn wait_for<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CommandError::bug)?;
    runtime.block_on(work)
}

/// Opens the cache of a config; one that is not there yet is not made. From here on the command is run by its owner: what
/// root alone may read must have been read before.
fn open_cache(config: &ServerConfig) -> Result<Cache, CommandError> {
    let directory = &config.cache_directory;
    owner::become_owner_of(directory)?;
    if !directory.is_dir() {
        return Err(CommandError::input(
            anyhow::anyhow!("there is no cache directory {directory}"),
            "name the server's own with --config or --cache-directory",
        ));
    }
    Cache::open(directory).map_err(failed)
}

/// Makes the cache directory where it is not there yet, and goes on as its owner, for what makes something in it.
fn enter_cache(config: &ServerConfig) -> Result<(), CommandError> {
    make_cache_directory(config)?;
    owner::become_owner_of(&config.cache_directory)
}

/// Makes the cache directory where it is not there yet. The data directory may be there already, made for the user of the
/// server: then it is his.
fn make_cache_directory(config: &ServerConfig) -> Result<(), CommandError> {
    let directory = &config.cache_directory;
    if directory.is_dir() {
        return Ok(());
    }
    // Where somebody else could put a link in its way, it is made with his rights.
    if !owner::is_roots_path(directory) {
        owner::become_owner_of(&config.data_directory)?;
    }
    make_directory(directory)?;
    owner::give_to_owner_of(&config.data_directory, directory)
}

/// What a failure of the builder is to a command.
pub fn failed(failure: Failure) -> CommandError {
    let hint = failure.hint.clone();
    let details = failure.details.join("; ");
    let fault = failure.class.fault();
    let error = anyhow::Error::new(failure);
    let error = if details.is_empty() { error } else { anyhow::Error::msg(details).context(error) };
    match fault {
        Fault::Request | Fault::Patch => CommandError::input(error, hint),
        Fault::Infrastructure => CommandError::failed(error, hint),
    }
}

/// What an error in the cache is to a command.
fn of_housekeeping(error: HousekeepingError) -> CommandError {
    let hint = error.hint();
    CommandError::input(error, hint)
}

/// Says on standard error what takes time.
struct Talker;

impl Observer for Talker {
    fn event(&self, event: BuildEvent) {
        match event {
            BuildEvent::Log { line, .. } => anstream::eprintln!("{line}"),
            BuildEvent::Step { step } => {
                if let (Some(summary), Some(seconds)) = (step.summary, step.duration_seconds) {
                    anstream::eprintln!("{}: {summary} ({seconds:.1} s)", step.name);
                }
            }
            _ => {}
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// What to do about a data directory that cannot be used.
fn data_directory_hint(error: &DataDirectoryError) -> &'static str {
    match error {
        DataDirectoryError::InUse { .. } => {
            "a machine is a server or a worker: stop the other one, or give another directory with --data-directory"
        }
        DataDirectoryError::Unusable { .. } => {
            "give a directory that this user can write in with --data-directory"
        }
    }
}

/// Makes a directory that only this user can look into, whatever the umask. One that is there keeps
/// its mode.
pub fn make_directory(path: &Utf8Path) -> Result<(), CommandError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let make = || {
        if path.is_dir() {
            return Ok(());
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
    };
    make().map_err(|error: std::io::Error| {
        let error = anyhow::Error::new(error).context(format!("cannot make the directory {path}"));
        CommandError::input(error, "name another place in the config, or make it as root")
    })
}
