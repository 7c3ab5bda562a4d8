//! The keys that manifests must be signed with.

use clap::Args;
use elivepatch_host::{ManifestTrust, StateDirectory};
use elivepatch_model::with_causes;
use elivepatch_signature::TrustedKeys;

use crate::{exit::Exit, problem::Problem};

/// What a command has that takes livepatches from a server, or loads them.
#[derive(Debug, Clone, Default, Args)]
pub struct ManifestKeyArgs {
    /// Take only livepatches whose manifest is signed with this key: a file, or RW…; several with commas [default:
    /// the key that this machine was given by elivepatch enrol, or none]
    #[arg(
        long,
        value_name = "KEY",
        env = "ELIVEPATCH_MANIFEST_KEY",
        hide_env_values = true,
        value_parser = given_keys
    )]
    manifest_key: Option<GivenKeys>,
}

/// The keys of an option; none when it is empty, as a variable of the environment may be.
#[derive(Debug, Clone)]
struct GivenKeys {
    text: String,
    keys: Option<TrustedKeys>,
}

fn given_keys(text: &str) -> Result<GivenKeys, String> {
    let keys = TrustedKeys::parse_or_read(text).map_err(|error| with_causes(&error))?;
    Ok(GivenKeys { text: text.to_owned(), keys })
}

impl ManifestKeyArgs {
    /// The keys that were given.
    pub fn keys(&self) -> Option<TrustedKeys> {
        self.manifest_key.as_ref().and_then(|given| given.keys.clone())
    }

    /// The same as they were given, for another command.
    pub fn given(&self) -> Option<&str> {
        self.manifest_key.as_ref().filter(|given| given.keys.is_some()).map(|given| &*given.text)
    }

    /// Whose manifests are taken here.
    pub fn trust(&self, directory: StateDirectory) -> ManifestTrust {
        directory.trusting(self.keys()).trust()
    }
}

/// Looks whether the text of a manifest is signed as it must be. `what` names it.
pub fn verify(
    trust: &ManifestTrust,
    what: &str,
    text: &[u8],
    signature: Option<&[u8]>,
) -> Result<(), Problem> {
    trust.verify(Some(text), signature).map_err(|obstacle| {
        Problem::new(Exit::Input, format!("{what} cannot be trusted"))
            .caused_by(&obstacle)
            .hint(obstacle.hint())
    })
}
