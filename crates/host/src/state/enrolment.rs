use elivepatch_model::{HostName, Tag};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StateDirectory, directory::Lock};
use crate::HostProblem;

/// The file; only root reads it.
const FILE: &str = "enrolment.json";

/// The form of the file.
const VERSION: u64 = 1;

/// The server at which this machine is registered, and how they know each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    version: u64,
    /// The server's address.
    pub url: String,
    /// The name of this machine there.
    pub name: HostName,
    /// Its tags, as they were then.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// The token with which it asks.
    pub token: String,
    /// The SHA-256 of the server's certificate (of its DER form, in hexadecimal), when it is to have that one and
    /// no other; absent: one that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_certificate: Option<String>,
    /// The key that manifests must be signed with, as minisign writes public keys; absent: they need not be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_key: Option<String>,
    /// When that was.
    pub enrolled_at: Timestamp,
}

impl Enrolment {
    /// A machine that was registered now.
    pub fn new(url: String, name: HostName, token: String) -> Self {
        Self {
            version: VERSION,
            url,
            name,
            tags: Vec::new(),
            token,
            server_certificate: None,
            manifest_key: None,
            enrolled_at: Timestamp::now(),
        }
    }
}

impl StateDirectory {
    /// Where this machine is registered; `None` when it is not.
    ///
    /// # Errors
    /// When the file cannot be read or understood, or a newer version has written it.
    pub fn enrolment(&self) -> Result<Option<Enrolment>, HostProblem> {
        self.read_record(FILE, VERSION)
    }

    /// Writes down where this machine is registered.
    ///
    /// # Errors
    /// When it cannot be written; then what was there is still there.
    pub fn enrol(&self, _lock: &Lock, enrolment: &Enrolment) -> Result<(), HostProblem> {
        let mut text = serde_json::to_vec_pretty(enrolment).expect("plain data");
        text.push(b'\n');
        self.put(FILE, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enrolment_is_read_as_it_was_written_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().expect("a directory");
        let directory = StateDirectory::at(Some(place.path()));
        assert_eq!(directory.enrolment().expect("none"), None);
        let name = "web-17".parse().expect("a name");
        let mut enrolment = Enrolment::new("https://s:8420".to_owned(), name, "secret".to_owned());
        enrolment.server_certificate = Some("ab".repeat(32));
        directory.enrol(&directory.lock().expect("free"), &enrolment).expect("written");
        assert_eq!(directory.enrolment().expect("there"), Some(enrolment));
        let path = place.path().join(FILE);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, r#"{"version": 2}"#).expect("own file");
        let problem = directory.enrolment().expect_err("it is newer");
        assert!(matches!(problem, HostProblem::NewerState { version: 2, .. }), "{problem:?}");
    }
}
