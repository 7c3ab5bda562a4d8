//! A small archive of a test's own: signed with a key made here, served on the loopback interface, and
//! faulty on demand.

// Each of the test programs uses a part of it.
#![allow(dead_code)]

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

/// Where the package lies on the mirror.
const PACKAGE: &str = "/debian/pool/elivepatch-sample_1.0_amd64.deb";

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
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        let package = build_package(root);
        let mut files = HashMap::new();
        let packages = format!(
            "Package: elivepatch-sample\nVersion: 1.0\nArchitecture: amd64\nMaintainer: t <t@t>\n\
             Description: sample\nFilename: pool/elivepatch-sample_1.0_amd64.deb\nSize: {}\nSHA256: {}\n\n",
            package.len(),
            Sha256Digest::of(&package)
        );
        let release = format!(
            "Origin: Debian\nLabel: Debian\nSuite: sample\nCodename: sample\nArchitectures: amd64\n\
             Components: main\nDate: Thu, 01 Oct 2026 00:00:00 UTC\n{}SHA256:\n {} {} main/binary-amd64/Packages\n",
            signing.release_lines,
            Sha256Digest::of(packages.as_bytes()),
            packages.len()
        );
        let signed = sign(root, &release, signing.key);
        let package_bytes = package.len();
        files.insert("/debian/dists/sample/InRelease".to_owned(), signed);
        files.insert(
            "/debian/dists/sample/main/binary-amd64/Packages".to_owned(),
            packages.into_bytes(),
        );
        files.insert(PACKAGE.to_owned(), package);
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
fn build_package(root: &std::path::Path) -> Vec<u8> {
    let tree = root.join("tree");
    std::fs::create_dir_all(tree.join("DEBIAN")).expect("own directory");
    let control = "Package: elivepatch-sample\nVersion: 1.0\nArchitecture: amd64\nMaintainer: t <t@t>\nDescription: sample\n";
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

/// Signs with a fresh key; leaves `keyring.gpg` (that key) and `other.gpg` (another one).
fn sign(root: &std::path::Path, release: &str, key: Option<(&str, &str)>) -> Vec<u8> {
    let path = |name: &str| root.join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(root.join("Release"), release).expect("own file");
    let (time, until) = key.unwrap_or(("", "never"));
    let gpg = |home: &str, arguments: &[&str]| {
        let home = path(home);
        let mut all = vec!["--homedir", &home, "--batch", "--quiet"];
        if !time.is_empty() {
            all.extend(["--faked-system-time", time]);
        }
        all.extend(arguments);
        run("gpg", &all);
    };
    for (home, keyring) in [("gnupg", "keyring.gpg"), ("gnupg-other", "other.gpg")] {
        std::fs::create_dir(path(home)).expect("own directory");
        run("chmod", &["700", &path(home)]);
        let user = ["--quick-generate-key", "t@t", "rsa2048", "sign", until];
        gpg(home, &[&["--passphrase", ""], &user[..]].concat());
        gpg(home, &["--output", &path(keyring), "--export"]);
    }
    gpg("gnupg", &["--output", &path("InRelease"), "--clearsign", &path("Release")]);
    for home in ["gnupg", "gnupg-other"] {
        run("gpgconf", &["--homedir", &path(home), "--kill", "all"]);
    }
    std::fs::read(root.join("InRelease")).expect("it was signed")
}
