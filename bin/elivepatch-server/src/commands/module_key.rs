use camino::Utf8Path;
use elivepatch_builder::ModuleSigner;
use elivepatch_server::config::Places;

use super::{failed, load_config};
use crate::{arguments::Arguments, error::CommandError, runner};

/// Prints the certificate of the key that modules are signed with, or writes it in the form of `mokutil`.
pub fn run(arguments: &Arguments, der: Option<&Utf8Path>) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let Some(options) = runner::signing_options(&config) else {
        return Err(CommandError::input(
            anyhow::anyhow!("this server signs no modules: its config names no key for them"),
            "set module_key in the [signing] section of the server's config",
        ));
    };
    let certificate = ModuleSigner::new(options).certificate().map_err(failed)?;
    match der {
        None => anstream::print!("{}", certificate.pem),
        Some(path) => {
            fs_err::write(path, &certificate.der)
                .map_err(|error| CommandError::input(error, "name another file with --der"))?;
            anstream::println!("{path}");
        }
    }
    anstream::eprintln!("{} (key {})", certificate.subject, certificate.key_id);
    if let Some(path) = der {
        anstream::eprintln!(
            "on a machine with Secure Boot: mokutil --import {path}, then reboot and enrol it"
        );
    }
    Ok(())
}
