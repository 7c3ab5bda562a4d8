use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use elivepatch_model::FailureClass;

use crate::{ServerOptions, TestServer, program};

/// The kernel that the tests are about: Debian 12's stock cloud kernel.
pub const RELEASE: &str = "6.1.0-50-cloud-amd64";

/// The version of its packages.
const VERSION: &str = "6.1.176-1";

/// Packages, toolchain root and base: shared by all tests and kept between runs.
///
/// # Panics
/// When there is neither the variable nor a home directory.
pub fn cache_directory() -> PathBuf {
    let named = env::var_os("ELIVEPATCH_TEST_CACHE").map(PathBuf::from);
    let cache = named.unwrap_or_else(|| {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache");
        cache.unwrap_or_else(home).join("elivepatch")
    });
    fs::create_dir_all(&cache).expect("the cache directory can be made");
    cache.canonicalize().expect("it was just made")
}

/// The config of the stock kernel, as a file whose name says the release.
///
/// # Panics
/// When it is not there yet and the kernel's package is neither.
pub fn stock_config_file() -> PathBuf {
    let directory = cache_directory().join("test").join(format!("{RELEASE}-{VERSION}"));
    let path = directory.join(format!("config-{RELEASE}"));
    if !path.exists() {
        fs::create_dir_all(&directory).expect("the cache can be written");
        let config = from_package(&format!("./boot/config-{RELEASE}"));
        // Tests run side by side: whoever is last puts the same file there again.
        let file = tempfile::NamedTempFile::new_in(&directory).expect("the cache can be written");
        fs::write(file.path(), config).expect("the cache can be written");
        file.persist(&path).expect("the cache can be written");
    }
    path
}

/// The text of the stock kernel's config.
///
/// # Panics
/// As [`stock_config_file`].
pub fn stock_config() -> String {
    fs::read_to_string(stock_config_file()).expect("a config is text")
}

/// A stock kernel of Debian's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockKernel {
    /// Debian 12's 6.1, without indirect branch tracking: [`RELEASE`].
    Debian12,
    /// Debian 13's 6.12, with indirect branch tracking and call depth tracking.
    Debian13,
    /// The 7.3 of Debian 13's backports, likewise, and with Rust.
    Debian13Backports,
}

impl StockKernel {
    /// Its release, as `uname -r` says it.
    pub fn release(self) -> &'static str {
        match self {
            Self::Debian12 => RELEASE,
            Self::Debian13 => "6.12.117+deb13-cloud-amd64",
            Self::Debian13Backports => "7.3.4+deb13-cloud-amd64",
        }
    }

    /// Its config, as a file whose name says the release.
    ///
    /// # Panics
    /// When it cannot be had.
    pub fn config_file(self) -> PathBuf {
        if self == Self::Debian12 { stock_config_file() } else { config_file_of(self.release()) }
    }
}

/// The config of any stock kernel, as the server's own command gives it; a file whose name says the
/// release.
///
/// # Panics
/// When the server knows no such kernel.
pub fn config_file_of(release: &str) -> PathBuf {
    let directory = cache_directory().join("test");
    let path = directory.join(format!("config-{release}"));
    if !path.exists() {
        fs::create_dir_all(&directory).expect("the cache can be written");
        let file = tempfile::NamedTempFile::new_in(&directory).expect("the cache can be written");
        let status = Command::new(program("elivepatch-server"))
            .args(["kernel-config", release, "--cache-directory"])
            .arg(cache_directory())
            .stdout(File::create(file.path()).expect("own file"))
            .status();
        assert!(status.expect("the server's program").success(), "no config of {release}");
        file.persist(&path).expect("the cache can be written");
    }
    path
}

/// Runs tar over what the stock kernel's package holds. Gives what it wrote to its output.
fn unpack_package<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Vec<u8> {
    let name = format!("linux-image-{RELEASE}_{VERSION}_amd64.deb");
    let package = cache_directory().join("packages").join(name);
    assert!(
        package.exists(),
        "{} is not there: `make test` fetches it (or `make demo`)",
        package.display()
    );
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&package)
        .stdout(Stdio::piped())
        .spawn()
        .expect("dpkg-deb is installed");
    let pipe = archive.stdout.take().expect("its output is piped");
    let output = Command::new("tar")
        .arg("--extract")
        .args(arguments)
        .stdin(pipe)
        .output()
        .expect("tar is installed");
    archive.wait().expect("a child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", package.display());
    output.stdout
}

/// A file of the stock kernel's package.
fn from_package(member: &str) -> Vec<u8> {
    unpack_package(["--to-stdout", member])
}

/// Modules of the stock kernel by their paths below `kernel/`, with their names. They are unpacked once.
///
/// # Panics
/// When the package is not there.
pub fn stock_modules(paths: &[&str]) -> Vec<(String, Vec<u8>)> {
    let directory =
        cache_directory().join("test").join(format!("guest-modules-{RELEASE}-{VERSION}"));
    let below = format!("lib/modules/{RELEASE}/kernel");
    let place = |path: &str| directory.join(&below).join(path);
    if !paths.iter().all(|path| place(path).is_file()) {
        let new =
            tempfile::tempdir_in(cache_directory().join("test")).expect("the cache can be written");
        let to = [OsString::from("--directory"), new.path().into()];
        let members = paths.iter().map(|path| OsString::from(format!("./{below}/{path}")));
        unpack_package(to.into_iter().chain(members));
        // Another test may have been first: what it has unpacked is the same.
        let _ = fs::rename(new.path(), &directory);
    }
    let read = |path: &&str| {
        let name = path.rsplit('/').next().expect("a name").trim_end_matches(".ko").to_owned();
        (name, fs::read(place(path)).expect("it was unpacked"))
    };
    paths.iter().map(read).collect()
}

/// A patch of these tests, by its file name without `.patch`.
pub fn own_patch(name: &str) -> PathBuf {
    patch(&format!("end-to-end/patches/{name}"))
}

/// A patch of the demonstration or of another crate's tests: its path in the repository without
/// `.patch`.
///
/// # Panics
/// When there is no such file.
pub fn patch(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace");
    let path = root.join(format!("{name}.patch"));
    assert!(path.exists(), "{} is not there", path.display());
    path
}

/// A patch that the tests of `elivepatch-patch` refuse without a kernel: here it goes all the way.
pub fn unit_fixture(name: &str) -> PathBuf {
    patch(&format!("crates/patch/tests/fixtures/{name}"))
}

/// Returns when the base is ready. Tests call it which give the server small limits, or count
/// seconds: preparing a base needs more of both.
///
/// # Panics
/// When it cannot be prepared.
pub fn make_base_ready() {
    // A patch that gets no further than the step after the base.
    let server = TestServer::start(ServerOptions::default());
    let run = server.build().patch(&own_patch("missing-file-FAIL")).run();
    run.fails_with(3, FailureClass::PatchDoesNotApply);
}
