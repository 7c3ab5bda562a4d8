//! The first elivepatch's client: `old_client.py` sends its bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::TestServer;

/// What one run of the client sends and gets.
pub struct OldSession {
    place: tempfile::TempDir,
    /// What the client calls it.
    pub uuid: &'static str,
}

impl OldSession {
    /// A session for the kernel with a config, with a patch.
    pub fn new(uuid: &'static str, config: &Path, main_patch: &Path) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        fs::copy(config, place.path().join("config")).expect("own directory");
        fs::copy(main_patch, place.path().join("main.patch")).expect("own directory");
        Self { place, uuid }
    }

    /// Sends along, as the patch with this number, what the kernel has already.
    pub fn has(self, number: usize, patch: &Path) -> Self {
        let name = format!("{number:05}.patch");
        fs::copy(patch, self.place.path().join(name)).expect("own directory");
        self
    }

    /// Where the module is when it was fetched.
    pub fn module(&self) -> PathBuf {
        self.place.path().join("livepatch.ko")
    }

    /// Runs the client for the kernel with this version, and gives what it was answered.
    pub fn run(&self, server: &TestServer, version: &str) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("old_client.py");
        // Debian's own: that is where the package python3-requests goes.
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).args([&server.url(), version, self.uuid]).arg(self.place.path());
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        let ran = command.stdin(Stdio::null()).output().expect("python3 is installed");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{said}");
        serde_json::from_slice(&ran.stdout).expect("it prints JSON")
    }
}
