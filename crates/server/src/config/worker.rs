use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_api::client::{CertificatePin, ServerUrl};
use serde::Deserialize;

/// The longest name of a worker's machine, in bytes: numbers come behind it.
const NAME_BYTES: usize = 48;

/// Whom a machine builds for that only builds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSection {
    /// The address of the server.
    pub server: Option<String>,
    /// The SHA-256 of its certificate; absent: one that the system trusts.
    pub certificate: Option<String>,
    /// The file with the worker's token.
    pub token_file: Option<Utf8PathBuf>,
    /// What the machine is called on the server; absent: its host name.
    pub name: Option<String>,
}

impl WorkerSection {
    /// What cannot be used: keys and what is wrong with them.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if let Some(Err(error)) = self.server.as_ref().map(|text| text.parse::<ServerUrl>()) {
            found.push(("worker.server", error.to_string()));
        }
        if let Some(Err(error)) =
            self.certificate.as_ref().map(|text| text.parse::<CertificatePin>())
        {
            found.push(("worker.certificate", error.to_string()));
        }
        if let Some(path) = self.token_file.as_deref().filter(|path| !Utf8Path::is_absolute(path)) {
            found.push(("worker.token_file", format!("\"{path}\" is not an absolute path")));
        }
        if let Some(name) = self.name.as_ref().filter(|name| !is_worker_name(name)) {
            let message = format!(
                "{name:?} is not one to {NAME_BYTES} of a-z, A-Z, 0-9, \".\", \"_\" and \"-\""
            );
            found.push(("worker.name", message));
        }
        found
    }
}

/// Whether a worker's machine may be called so.
fn is_worker_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(plain)
}

/// The section of the config about it.
pub(super) const WORKER: &str = r##"[worker]
# On a machine that only builds, for a server on another one (elivepatch-server worker): the server, the SHA-256
# of its certificate as elivepatch-server certificate prints it there (without it, the system must trust the
# certificate), and the file that has what elivepatch-server token create --role worker printed there. The user
# that the worker runs as must be able to read it.
#
# Copy the rest of the config from the server: builds are leased only to a worker with the server's version,
# sources of kernels, toolchain recipes, key for modules, suites and policy. The limits of time, memory and disk
# may be the machine's own; a build that reaches one fails for good, so they should not be lower.
#server = "https://patches.example.org:8420"
#certificate = "5d2f6c1e0b7a49d83fe2a5c4716b90d8e3f7142a6c5b8d09f1e4a7b2c3d60859"
#token_file = "/etc/elivepatch/worker.token"

# What the machine is called on the server; without it, its host name.
#name = "builder-1"

"##;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named_by_its_key() {
        let bad = WorkerSection {
            server: Some("ftp://patches".to_owned()),
            certificate: Some("5d2f".to_owned()),
            token_file: Some("worker.token".into()),
            name: Some("builder 1".to_owned()),
        };
        let keys: Vec<&str> = bad.problems().iter().map(|(key, _)| *key).collect();
        assert_eq!(
            keys,
            ["worker.server", "worker.certificate", "worker.token_file", "worker.name"]
        );
        let good = WorkerSection {
            server: Some("https://patches.example.org:8420".to_owned()),
            certificate: Some("ab".repeat(32)),
            token_file: Some("/etc/elivepatch/worker.token".into()),
            name: Some("builder-1.example.org".to_owned()),
        };
        assert_eq!(good.problems(), []);
        assert_eq!(WorkerSection::default().problems(), []);
        for name in ["", "a/b", &"x".repeat(NAME_BYTES + 1), "ü"] {
            assert!(!is_worker_name(name), "{name:?}");
        }
    }
}
