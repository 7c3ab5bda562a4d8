use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use elivepatch_model::Sha256Digest;

/// The suites whose kernels the shipped toolchain roots can serve.
pub const DEFAULT_SUITES: [&str; 7] = [
    "bookworm",
    "bookworm-updates",
    "bookworm-security",
    "trixie",
    "trixie-updates",
    "trixie-security",
    "trixie-backports",
];

/// Where Debian's packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebianOptions {
    /// The main archive; `None` takes the one in the machine's own apt configuration.
    pub mirror: Option<String>,
    /// The security archive; `None` as above, and without it security updates are not found.
    pub security_mirror: Option<String>,
    /// Whether there is no security archive unless one is named: a snapshot of the main archive would
    /// else be mixed with what is in the other today.
    pub without_security: bool,
    /// The suites to look in. Those that end in `-security` are in the security archive. One that
    /// the mirror lacks is left out.
    pub suites: Vec<String>,
    /// The keys that the archive must be signed with.
    pub keyring: Utf8PathBuf,
    /// Whether an index is refused that is past the time until which it is valid. A snapshot's always
    /// is; its signature is checked all the same.
    pub valid_until: bool,
    /// Package files on the server, for kernels that have left the archive.
    pub packages: Option<PackageDirectory>,
    /// How long a mirror is waited for.
    pub times: MirrorTimes,
}

/// How long a mirror is waited for that hangs, trickles or drops the line. An index that is not there in
/// time is as good as none; a package that comes in part is gone on with by the next build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorTimes {
    /// Without sending anything, for apt; and until it takes a connection, for curl.
    pub silence_seconds: u64,
    /// How often apt asks again, for each suite.
    pub retries: u32,
    /// With fewer than 1000 bytes a second, for curl.
    pub slow_seconds: u64,
    /// For the indexes of all suites.
    pub index_seconds: u64,
    /// For one attempt at a package, which the next one goes on with.
    pub attempt_seconds: u64,
    /// For all attempts at a package in one build.
    pub package_seconds: u64,
}

impl Default for MirrorTimes {
    fn default() -> Self {
        Self {
            // apt's own, and as much as a mirror takes that has a disk to wake up.
            silence_seconds: 30,
            retries: 3,
            slow_seconds: 60,
            // A mirror that sends nothing costs 30 s for each of the 4 attempts at each of 7 suites: 14
            // minutes. The indexes have 30 MB, which 20 kB/s bring in in this time.
            index_seconds: 1800,
            attempt_seconds: 3600,
            // The debug symbols of a kernel have 0.9 GB, which take six hours at 42 kB/s.
            package_seconds: 6 * 3600,
        }
    }
}

/// A directory with package files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageDirectory {
    /// The directory.
    pub directory: Utf8PathBuf,
    /// The digests of files by their names; one that is not named must be in a signed index.
    pub digests: BTreeMap<String, Sha256Digest>,
}

impl DebianOptions {
    /// Where it looks, for people.
    pub(crate) fn describe(&self) -> String {
        let mirror = self.mirror.as_deref().unwrap_or("the archive of the machine's own apt");
        format!("{mirror}, suites {}", self.suites.join(", "))
    }
}

impl Default for DebianOptions {
    fn default() -> Self {
        Self {
            mirror: None,
            security_mirror: None,
            without_security: false,
            suites: DEFAULT_SUITES.map(str::to_owned).to_vec(),
            keyring: "/usr/share/keyrings/debian-archive-keyring.gpg".into(),
            valid_until: true,
            packages: None,
            times: MirrorTimes::default(),
        }
    }
}
