//! A small archive of a test's own: signed with a key made here, served on the loopback interface, and
//! faulty on demand.

// Each of the test programs uses a part of it.
#![allow(dead_code, unused_imports)]

mod mirror;

use std::{
    collections::{BTreeMap, HashMap},
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{Apt, Cache, DebianOptions, PackageDirectory};
use elivepatch_model::Sha256Digest;
pub use mirror::{Fault, Faults};

pub struct Archive {
    directory: tempfile::TempDir,
    pub address: String,
    faults: Arc<Mutex<Faults>>,
    pub package_bytes: usize,
}

/// How the archive differs from a good one.
#[derive(Default)]
pub struct Signing<'a> {
    /// More lines of the Release file.
    pub release_lines: &'a str,
    /// The time at which the key was made and used, as gpg takes it, and until when it is valid.
    pub key: Option<(&'a str, &'a str)>,
}

impl Archive {
    pub fn new() -> Self {
        Self::signed(&Signing::default())
    }

    /// One whose Release file has these lines, too.
    pub fn with(release_lines: &str) -> Self {
        Self::signed(&Signing { release_lines, ..Signing::default() })
    }

    pub fn signed(signing: &Signing) -> Self {
        Self::of(&[("sample", Some("1.0"))], signing)
    }

    /// One with several suites, each with the package in one version or without it.
    pub fn with_suites(suites: &[(&str, Option<&str>)]) -> Self {
        Self::of(suites, &Signing::default())
    }

    fn of(suites: &[(&str, Option<&str>)], signing: &Signing) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        make_keys(root, signing.key);
        let (mut files, mut package_bytes) = (HashMap::new(), 0);
        for (suite, version) in suites {
            let mut packages = String::new();
            if let Some(version) = version {
                let package = build_package(root, version);
                let name = format!("pool/elivepatch-sample_{version}_amd64.deb");
                packages = format!(
                    "Package: elivepatch-sample\nVersion: {version}\nArchitecture: amd64\n\
                     Maintainer: t <t@t>\nDescription: sample\nFilename: {name}\nSize: {}\nSHA256: {}\n\n",
                    package.len(),
                    Sha256Digest::of(&package)
                );
                package_bytes = package.len();
                files.insert(format!("/debian/{name}"), package);
            }
            let release = format!(
                "Origin: Debian\nLabel: Debian\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\n\
                 Components: main\nDate: Thu, 01 Oct 2026 00:00:00 UTC\n{}SHA256:\n {} {} main/binary-amd64/Packages\n",
                signing.release_lines,
                Sha256Digest::of(packages.as_bytes()),
                packages.len()
            );
            let place = format!("/debian/dists/{suite}");
            files.insert(format!("{place}/InRelease"), sign(root, &release, signing.key));
            files.insert(format!("{place}/main/binary-amd64/Packages"), packages.into_bytes());
        }
        let faults = Arc::new(Mutex::new(Faults::default()));
        let address = mirror::serve(files, Arc::clone(&faults));
        Self { directory, address, faults, package_bytes }
    }

    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no panic holds it")
    }

    pub fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.directory.path().join(name)).expect("UTF-8")
    }

    pub fn apt(&self, keyring: &str) -> (Cache, Apt) {
        self.apt_with_suites(keyring, &["sample"])
    }

    pub fn apt_with_suites(&self, keyring: &str, suites: &[&str]) -> (Cache, Apt) {
        let cache = Cache::open(&self.path("cache")).expect("own directory");
        let mirror = format!("{}/debian", self.address);
        let options = DebianOptions {
            mirror: Some(mirror.clone()),
            security_mirror: Some(mirror),
            suites: suites.iter().map(|suite| (*suite).to_owned()).collect(),
            keyring: self.path(keyring),
            ..DebianOptions::default()
        };
        let apt = Apt::open(&cache, &options).expect("the mirror is given");
        (cache, apt)
    }

    /// apt as a source of its own has it.
    pub fn apt_with(&self, keyring: &str, change: impl FnOnce(&mut DebianOptions)) -> Apt {
        let cache = Cache::open(&self.path("cache")).expect("own directory");
        let mut options = DebianOptions {
            mirror: Some(format!("{}/debian", self.address)),
            without_security: true,
            suites: vec!["sample".to_owned()],
            keyring: self.path(keyring),
            ..DebianOptions::default()
        };
        change(&mut options);
        Apt::open(&cache, &options).expect("the mirror is given")
    }

    /// The package as it was built, in a directory of its own.
    pub fn keep(&self) -> (PackageDirectory, Utf8PathBuf) {
        let directory = self.path("kept");
        std::fs::create_dir_all(&directory).expect("own directory");
        let file = directory.join("elivepatch-sample_1.0_amd64.deb");
        std::fs::copy(self.path("sample.deb"), &file).expect("it was built");
        (PackageDirectory { directory, digests: BTreeMap::new() }, file)
    }
}

pub fn file_digest(path: &Utf8Path) -> Sha256Digest {
    Sha256Digest::of(&std::fs::read(path).expect("it was fetched"))
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("the program is installed");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A package of 300 kB that does not compress.
fn build_package(root: &std::path::Path, version: &str) -> Vec<u8> {
    let tree = root.join("tree");
    std::fs::create_dir_all(tree.join("DEBIAN")).expect("own directory");
    let control = format!(
        "Package: elivepatch-sample\nVersion: {version}\nArchitecture: amd64\nMaintainer: t <t@t>\nDescription: sample\n"
    );
    std::fs::write(tree.join("DEBIAN/control"), control).expect("own file");
    let mut noise = Vec::new();
    let mut state: u64 = 88172645463325252;
    while noise.len() < 300_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    std::fs::write(tree.join("noise"), noise).expect("own file");
    let package = root.join("sample.deb");
    let (tree, file) = (tree.to_str().expect("UTF-8"), package.to_str().expect("UTF-8"));
    run("dpkg-deb", &["--root-owner-group", "--build", tree, file]);
    std::fs::read(package).expect("it was built")
}

/// Leaves `keyring.gpg` (the key that signs) and `other.gpg` (another one).
fn make_keys(root: &std::path::Path, key: Option<(&str, &str)>) {
    let (time, until) = key.unwrap_or(("", "never"));
    for (home, keyring) in [("gnupg", "keyring.gpg"), ("gnupg-other", "other.gpg")] {
        let home_path = path(root, home);
        std::fs::create_dir(&home_path).expect("own directory");
        run("chmod", &["700", &home_path]);
        let user = ["--quick-generate-key", "t@t", "rsa2048", "sign", until];
        gpg(root, home, time, &[&["--passphrase", ""], &user[..]].concat());
        gpg(root, home, time, &["--output", &path(root, keyring), "--export"]);
    }
    stop_agents(root);
}

/// Signs with the key of `keyring.gpg`.
fn sign(root: &std::path::Path, release: &str, key: Option<(&str, &str)>) -> Vec<u8> {
    let (time, _) = key.unwrap_or_default();
    let (plain, signed) = (path(root, "Release"), path(root, "InRelease"));
    std::fs::write(&plain, release).expect("own file");
    gpg(root, "gnupg", time, &["--yes", "--output", &signed, "--clearsign", &plain]);
    stop_agents(root);
    std::fs::read(signed).expect("it was signed")
}

fn path(root: &std::path::Path, name: &str) -> String {
    root.join(name).to_str().expect("UTF-8").to_owned()
}

/// Runs gpg at a time as it takes times; at the machine's where that is empty.
fn gpg(root: &std::path::Path, home: &str, time: &str, arguments: &[&str]) {
    let home = path(root, home);
    let mut all = vec!["--homedir", &home, "--batch", "--quiet"];
    if !time.is_empty() {
        all.extend(["--faked-system-time", time]);
    }
    all.extend(arguments);
    run("gpg", &all);
}

fn stop_agents(root: &std::path::Path) {
    for home in ["gnupg", "gnupg-other"] {
        run("gpgconf", &["--homedir", &path(root, home), "--kill", "all"]);
    }
}
