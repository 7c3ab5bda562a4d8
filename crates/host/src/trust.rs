//! Whose manifests a machine takes. Whatever loads a livepatch asks here, and nowhere else.

use std::io;

use elivepatch_signature::TrustedKeys;

use crate::{Held, HostProblem, Obstacle, StateDirectory};

/// Whose manifests a machine takes.
#[derive(Debug, Clone)]
pub enum ManifestTrust {
    /// Anybody's: no key is known here.
    Anybody,
    /// Those that one of these keys has signed.
    Keys(TrustedKeys),
    /// Nobody's: the machine is registered, and what it was given then cannot be read. Why; one line.
    Unreadable(String),
}

impl ManifestTrust {
    /// Looks whether a trusted key has signed the text of a manifest, before anything else of it is looked at.
    ///
    /// # Errors
    /// What stands against it.
    pub fn verify(&self, text: Option<&[u8]>, signature: Option<&[u8]>) -> Result<(), Obstacle> {
        match self {
            Self::Anybody => Ok(()),
            Self::Unreadable(why) => Err(Obstacle::KeysUnreadable(why.clone())),
            Self::Keys(keys) => match text {
                // That it has none is an obstacle by itself.
                None => Ok(()),
                Some(text) => {
                    keys.verify(text, signature).map(drop).map_err(Obstacle::ManifestNotTrusted)
                }
            },
        }
    }
}

impl ManifestTrust {
    /// Looks at a livepatch that is kept. Where keys are known, one without a manifest of its own is trusted by none.
    ///
    /// # Errors
    /// What stands against it.
    pub fn verify_held(&self, held: &Held) -> Result<(), Obstacle> {
        match (self, &held.manifest) {
            (Self::Anybody, _) => Ok(()),
            (_, None) => Err(Obstacle::NoManifest),
            (trust, Some(_)) => {
                trust.verify(held.manifest_text.as_deref(), held.manifest_signature.as_deref())
            }
        }
    }
}

impl StateDirectory {
    /// The same, for manifests that these keys have signed, whatever the machine was given when it was registered.
    pub fn trusting(mut self, keys: Option<TrustedKeys>) -> Self {
        self.keys = keys;
        self
    }

    /// The keys that were named for manifests.
    pub fn keys(&self) -> Option<&TrustedKeys> {
        self.keys.as_ref()
    }

    /// Whose manifests are taken: of the keys that were named, or of the one that the machine was given when it was
    /// registered.
    pub fn trust(&self) -> ManifestTrust {
        if let Some(keys) = &self.keys {
            return ManifestTrust::Keys(keys.clone());
        }
        let key = match self.enrolment() {
            Ok(enrolment) => enrolment.and_then(|enrolment| enrolment.manifest_key),
            // Who may not read what only root reads may not load anything either. Root is kept from it by something else,
            // such as a label, and is not to take that for a machine without keys.
            Err(HostProblem::State { source: Some(source), .. })
                if source.kind() == io::ErrorKind::PermissionDenied
                    && !rustix::process::geteuid().is_root() =>
            {
                None
            }
            Err(problem) => return ManifestTrust::Unreadable(problem.to_string()),
        };
        match key.as_deref().map(TrustedKeys::parse_or_read) {
            None => ManifestTrust::Anybody,
            Some(Ok(Some(keys))) => ManifestTrust::Keys(keys),
            Some(Ok(None)) => {
                ManifestTrust::Unreadable("the key for manifests is empty".to_owned())
            }
            Some(Err(error)) => ManifestTrust::Unreadable(error.to_string()),
        }
    }
}
