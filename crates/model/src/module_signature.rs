use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{KernelConfig, Sha256Digest};

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

/// A hash that the kernel knows for the signatures of modules. The default is what kernels are most likely to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ModuleHash {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl ModuleHash {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The one that a kernel with this config signs and verifies its own modules with (`MODULE_SIG_HASH`); `None`
    /// when it says of none, or of one that is not served.
    pub fn of_kernel(config: &KernelConfig) -> Option<Self> {
        let name = config.text("MODULE_SIG_HASH")?;
        Self::ALL.into_iter().find(|hash| hash.as_str() == name)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_a_kernel_is_what_its_config_says_of_its_own_modules() {
        let of = |text: &str| {
            ModuleHash::of_kernel(&KernelConfig::parse(text.as_bytes()).expect("a config"))
        };
        for hash in ModuleHash::ALL {
            let text = format!("CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_HASH=\"{hash}\"\n");
            assert_eq!(of(&text), Some(hash));
        }
        for none in ["\"sha1\"", "\"sha3-256\"", "\"\"", "y"] {
            assert_eq!(of(&format!("CONFIG_MODULE_SIG_HASH={none}\n")), None, "{none}");
        }
        assert_eq!(of("# CONFIG_MODULE_SIG is not set\n"), None);
    }
}
