use elivepatch_server::config::Places;

use super::load_config;
use crate::{arguments::Arguments, error::CommandError, manifest_key};

/// Prints the key that the server's manifests are verified with, as minisign writes public keys.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let key = manifest_key::read(&config)?;
    let public = key.public().map_err(CommandError::bug)?;
    anstream::println!("untrusted comment: elivepatch public key {}", key.id());
    anstream::println!("{public}");
    anstream::eprintln!("key {}; for clients: --manifest-key {public}", key.id());
    Ok(())
}
