//! Livepatches of the stock kernel for machines that are patched: real ones, and modules that a test has made.

use std::{
    fs,
    path::{Path, PathBuf},
};

use elivepatch_model::Sha256Digest;

use crate::{ServerOptions, TargetMachine, TestServer, make_base_ready, patch};

/// Two livepatches on their server: the second holds the fix of the first, and one more.
#[derive(Debug)]
pub struct Livepatches {
    /// The server.
    pub server: TestServer,
    /// The module of the first.
    pub first: PathBuf,
    /// The module of the second.
    pub second: PathBuf,
    _place: tempfile::TempDir,
}

impl Livepatches {
    /// Has both built.
    ///
    /// # Panics
    /// When they are not.
    #[expect(clippy::new_without_default, reason = "minutes go by")]
    pub fn new() -> Self {
        Self::of(ServerOptions::default())
    }

    /// Has both built by a server with these options.
    ///
    /// # Panics
    /// When they are not.
    pub fn of(options: ServerOptions) -> Self {
        make_base_ready();
        let server = TestServer::start(options);
        let place = tempfile::tempdir().expect("a directory");
        let built = |name: &str, patches: &[&str]| {
            let output = place.path().join(name);
            fs::create_dir(&output).expect("own directory");
            let command = server.build().args(["--output".as_ref(), output.as_os_str()]);
            let patches = patches.iter().map(|name| patch(name));
            let run = patches.fold(command, |command, path| command.patch(&path)).run();
            assert_eq!(run.succeeds().code, Some(0));
            let entries = fs::read_dir(&output).expect("own directory");
            let mut paths = entries.map(|entry| entry.expect("an entry").path());
            let is_module = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "ko");
            paths.find(is_module).expect("a module")
        };
        let first = built("first", &["demo/meminfo-label"]);
        let second = built("second", &["demo/meminfo-label", "demo/meminfo-total"]);
        Self { server, first, second, _place: place }
    }

    /// A machine with both on its disk, as `a.ko` and `b.ko`, and more files.
    pub fn machine(&self, more: &[(&str, &Path)]) -> TargetMachine {
        let (first, second) = (manifest_of(&self.first), manifest_of(&self.second));
        let own: [(&str, &Path); 4] = [
            ("a.ko", &self.first),
            ("a.ko.manifest.json", &first),
            ("b.ko", &self.second),
            ("b.ko.manifest.json", &second),
        ];
        TargetMachine::new(&[&own[..], more].concat())
    }
}

/// Where the manifest of a module lies.
pub fn manifest_of(module: &Path) -> PathBuf {
    PathBuf::from(format!("{}.manifest.json", module.display()))
}

/// The name of a module, by its file.
///
/// # Panics
/// When it has none.
pub fn module_name(module: &Path) -> String {
    module.file_stem().expect("a name").to_string_lossy().into_owned()
}

/// One of the modules of `crates/builder/tests/trial-modules`.
///
/// # Panics
/// When make test has not built it.
pub fn trial_module(name: &str) -> PathBuf {
    let modules = std::env::var_os("ELIVEPATCH_TEST_MODULES");
    let modules = PathBuf::from(modules.expect("ELIVEPATCH_TEST_MODULES names no modules"));
    let path = modules.join(format!("{name}.ko"));
    assert!(path.is_file(), "{} is not there: make test builds it", path.display());
    path
}

/// Puts a module that no server has built at a place, with what a server would say of it.
///
/// # Panics
/// When it cannot be written.
pub fn forged(place: &Path, module: &[u8], file: &str, like: &Path) -> [PathBuf; 2] {
    let text = fs::read(manifest_of(like)).expect("a manifest");
    let mut manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    manifest["module"]["digest"] = Sha256Digest::of(module).to_string().into();
    manifest["module"]["size_bytes"] = module.len().into();
    let path = place.join(file);
    fs::write(&path, module).expect("own directory");
    fs::write(manifest_of(&path), manifest.to_string()).expect("own directory");
    [path.clone(), manifest_of(&path)]
}
