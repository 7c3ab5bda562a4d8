use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

/// Who must show a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessSection {
    /// When a request must come with a token.
    pub tokens: Tokens,
}

/// When a request must come with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tokens {
    /// When the server can be reached from other machines.
    #[default]
    BeyondLoopback,
    /// Also when only this machine reaches it.
    Always,
}

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    /// Whether they are; absent: when the server can be reached from other machines.
    pub enabled: Option<bool>,
    /// The certificate with its chain, in PEM; absent: the server has one of its own.
    pub certificate: Option<Utf8PathBuf>,
    /// Its key, in PEM.
    pub key: Option<Utf8PathBuf>,
}

impl TlsSection {
    /// What cannot be used: keys and what is wrong with them.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let files = [("tls.certificate", &self.certificate), ("tls.key", &self.key)];
        for (key, path) in files {
            if let Some(path) = path.as_deref().filter(|path| !Utf8Path::is_absolute(path)) {
                found.push((key, format!("\"{path}\" is not an absolute path")));
            }
        }
        match (&self.certificate, &self.key) {
            (Some(_), None) => {
                found.push(("tls.certificate", "it needs its key, too: set tls.key".to_owned()));
            }
            (None, Some(_)) => {
                found.push(("tls.key", "it needs its certificate: set tls.certificate".to_owned()));
            }
            _ => {}
        }
        found
    }
}
