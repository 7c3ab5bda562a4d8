use std::io::Write;

use elivepatch_server::{
    ServerConfig,
    config::{Overrides, Places, template},
};

use super::{certificate, make_cache_directory, make_directory};
use crate::{arguments::Arguments, error::CommandError, manifest_key, owner};

/// Writes the commented config file, makes the directories and says what comes next.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let places = Places::of_this_user();
    let path = arguments.config_file(&places);
    let overrides = arguments.overrides();
    let text = template(&places, &overrides);
    let config = ServerConfig::parse(&text, &path, &places, &Overrides::default())
        .map_err(|error| CommandError::input(error, "elivepatch-server init --help"))?;
    let directory = match path.parent() {
        Some(directory) if !directory.as_str().is_empty() => directory,
        _ => camino::Utf8Path::new("."),
    };
    fs_err::create_dir_all(directory)
        .map_err(|error| CommandError::input(error, "name another file with --config"))?;
    let exists = || {
        CommandError::input(
            anyhow::anyhow!("{path} exists already; it is left as it is"),
            format!("elivepatch-server check-config --config {path}"),
        )
    };
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    make_directory(&config.data_directory)?;
    make_cache_directory(&config)?;
    let file = fs_err::OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(),
        _ => CommandError::input(error, "name another file with --config"),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| CommandError::input(error, "make room on the disk"))?;
    owner::become_owner_of(&config.data_directory)?;
    let key = manifest_key::read_or_make(&config)?;
    anstream::println!("config written to {path}");
    anstream::println!("data directory:   {}", config.data_directory);
    anstream::println!("cache directory:  {}", config.cache_directory);
    anstream::println!("manifest key:     {} ({})", key.id(), config.manifest_key());
    let option = match &arguments.config {
        Some(path) => format!(" --config {path}"),
        None => String::new(),
    };
    if let Some(certificate) = certificate::open(&config)? {
        anstream::println!("certificate:      {}", certificate.fingerprint());
    }
    if config.wants_tokens() {
        anstream::println!("next: elivepatch-server token create --role admin{option}");
    } else {
        anstream::println!("next: elivepatch-server{option}");
    }
    Ok(())
}
