use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::ModuleHash;
use serde::Deserialize;

use super::ServerConfig;

/// The name of the key in the data directory that manifests are signed with.
const MANIFEST_KEY: &str = "manifest.key";

/// How a key in a PKCS#11 token is named (RFC 7512).
const PKCS11: &str = "pkcs11:";

/// What manifests and modules are signed with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SigningSection {
    /// The secret key for manifests; absent: the one in the data directory, which is made when it is not there.
    pub manifest_key: Option<Utf8PathBuf>,
    /// The key for modules: a PEM file, or a PKCS#11 URI; absent: they are not signed.
    pub module_key: Option<String>,
    /// Its certificate; absent: it is in the same file as the key.
    pub module_certificate: Option<Utf8PathBuf>,
    /// The hash of the module that is signed; absent: that of the kernel's own modules.
    pub module_hash: Option<ModuleHash>,
    /// The file with the key's passphrase or the token's PIN, in its first line.
    pub module_passphrase_file: Option<Utf8PathBuf>,
}

impl SigningSection {
    /// Where the certificate of the module key is.
    pub fn certificate(&self) -> Option<&Utf8Path> {
        let key = self.module_key.as_deref()?;
        self.module_certificate.as_deref().or(Some(Utf8Path::new(key)))
    }
}

impl ServerConfig {
    /// The secret key for manifests.
    pub fn manifest_key(&self) -> Utf8PathBuf {
        let named = self.signing.manifest_key.clone();
        named.unwrap_or_else(|| self.data_directory.join(MANIFEST_KEY))
    }
}

/// What is wrong with the section, each with its key.
pub(super) fn signing_problems(section: &SigningSection) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let paths = [
        ("signing.manifest_key", section.manifest_key.as_deref()),
        ("signing.module_certificate", section.module_certificate.as_deref()),
        ("signing.module_passphrase_file", section.module_passphrase_file.as_deref()),
    ];
    for (key, path) in paths {
        if let Some(path) = path.filter(|path| !path.is_absolute()) {
            found.push((key, format!("\"{path}\" is not an absolute path")));
        }
    }
    match section.module_key.as_deref() {
        Some(uri) if uri.starts_with(PKCS11) => {
            if uri.contains("pin-value") || uri.contains("pin-source") {
                let what = "a PIN does not belong into it: others see it while a module is signed; put it into a file, \
                            and name that with module_passphrase_file";
                found.push(("signing.module_key", what.to_owned()));
            }
            if section.module_certificate.is_none() {
                let what =
                    "the certificate of a key in a token must be named, with module_certificate";
                found.push(("signing.module_key", what.to_owned()));
            }
        }
        Some(path) if Utf8Path::new(path).is_absolute() => {}
        Some(other) => found.push((
            "signing.module_key",
            format!("{other:?} is neither an absolute path nor a PKCS#11 URI (pkcs11:…)"),
        )),
        None => {
            let alone = [
                ("signing.module_certificate", section.module_certificate.is_some()),
                ("signing.module_passphrase_file", section.module_passphrase_file.is_some()),
            ];
            for (key, _) in alone.into_iter().filter(|(_, is_set)| *is_set) {
                found.push((key, "there is no module_key that it belongs to".to_owned()));
            }
        }
    }
    found
}
