use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Sha256Digest;

/// Who has signed a module, and what it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModuleSignature {
    /// The subject of the signer's certificate.
    pub signer: String,
    /// What the kernel knows the key by, in hexadecimal: the certificate's subject key identifier, or its serial
    /// number when it has none. `/proc/keys` shows it.
    pub key_id: String,
    /// The hash that is signed.
    pub hash: ModuleHash,
    /// The digest of the module without its signature: that of a rebuild, whoever signs it.
    pub unsigned: Sha256Digest,
}

/// A hash that the kernel knows for the signatures of modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ModuleHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    #[default]
    Sha512,
}

impl ModuleHash {
    /// Its name, as openssl and the kernel's config have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for ModuleHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
