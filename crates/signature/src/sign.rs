use std::io::Read;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use minisign_verify::StreamVerifier;

use crate::{KeyError, KeyId, PublicKey, SecretKey};

/// A signature that was read, and not verified.
pub struct Signature {
    signature: minisign_verify::Signature,
    key: KeyId,
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Signature(by {})", self.key)
    }
}

impl Signature {
    /// Reads the text of a signature; `None` when it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let signature = minisign_verify::Signature::decode(text).ok()?;
        let bytes = BASE64_STANDARD.decode(text.lines().nth(1)?).ok()?;
        Some(Self { signature, key: KeyId::of(&bytes)? })
    }

    /// The key that it names.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// What verifies it over bytes as they come, with a key; `None` when it is of the old kind, over bytes that
    /// were not hashed before.
    pub fn verifier<'a>(&'a self, key: &'a PublicKey) -> Option<StreamVerifier<'a>> {
        key.key.verify_stream(&self.signature).ok()
    }
}

impl SecretKey {
    /// Signs what can be read. `comment` is signed, too: one line that says what it is.
    ///
    /// # Errors
    /// When it cannot be read, or the machine gives no random numbers.
    pub fn sign(&self, content: impl Read, comment: &str) -> Result<String, KeyError> {
        let note = format!("signature of elivepatch key {}", self.id());
        minisign::sign(None, &self.key, content, Some(comment), Some(&note))
            .map(minisign::SignatureBox::into_string)
            .map_err(|error| KeyError::Sign(error.to_string()))
    }
}
