use camino::Utf8Path;
use elivepatch_server::app::generate_keys;

use super::of_bundle;
use crate::error::CommandError;

/// Makes a pair of keys.
pub fn keygen(secret: &Utf8Path, public: &Utf8Path) -> Result<(), CommandError> {
    let (id, key) = generate_keys(secret, public).map_err(of_bundle)?;
    anstream::println!("key {id}");
    anstream::println!("secret key: {secret}; who has it can sign in your name");
    anstream::println!("public key: {public}");
    anstream::println!("on the importing server, in the [feed] section of its config:");
    anstream::println!("  public_keys = [\"{key}\"]");
    Ok(())
}
