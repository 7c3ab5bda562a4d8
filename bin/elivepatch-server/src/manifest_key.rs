//! The key that manifests are signed with.

use std::sync::Arc;

use elivepatch_server::{
    ServerConfig,
    app::{KeyError, SecretKey, generate_keys},
};

use crate::{error::CommandError, report};

/// Reads it.
///
/// # Errors
/// When it is not there, or cannot be used.
pub fn read(config: &ServerConfig) -> Result<SecretKey, CommandError> {
    let path = config.manifest_key();
    SecretKey::read(&path).map_err(|error| {
        let hint = match &error {
            KeyError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                match &config.signing.manifest_key {
                    Some(_) => {
                        format!("minisign -G -W -s {path} makes one; or leave manifest_key out of the config")
                    }
                    None => "start the server: it makes one in its data directory".to_owned(),
                }
            }
            KeyError::Password { .. } => format!("minisign -C -W -s {path} takes it away"),
            _ => format!("ls -l {path}: it must be readable for the server's user"),
        };
        let error = anyhow::Error::new(error).context("the key for manifests cannot be used");
        CommandError::input(error, hint)
    })
}

/// Reads it, and makes it first where it is to be in the data directory and is not there.
///
/// # Errors
/// When it cannot be used or made.
pub fn read_or_make(config: &ServerConfig) -> Result<Arc<SecretKey>, CommandError> {
    let path = config.manifest_key();
    if config.signing.manifest_key.is_none() && !path.exists() {
        let made = generate_keys(&path, &path.with_extension("pub")).map_err(|error| {
            let error = anyhow::Error::new(error).context("the key for manifests cannot be made");
            CommandError::input(
                error,
                format!("put the key back as {path}, or move what is left of the pair away"),
            )
        });
        // Another start may have been first.
        if let Err(error) = made
            && !path.exists()
        {
            return Err(error);
        }
    }
    let key = read(config)?;
    if key.is_open_to_others() {
        report::warn(&format!(
            "others than its owner may read {path}, and whoever has it can sign in this server's name: chmod 600 \
             {path}"
        ));
    }
    Ok(Arc::new(key))
}
