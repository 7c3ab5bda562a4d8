use camino::Utf8PathBuf;

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
    /// The suites to look in. Those that end in `-security` are in the security archive. One that
    /// the mirror lacks is left out.
    pub suites: Vec<String>,
    /// The keys that the archive must be signed with.
    pub keyring: Utf8PathBuf,
}

impl Default for DebianOptions {
    fn default() -> Self {
        Self {
            mirror: None,
            security_mirror: None,
            suites: DEFAULT_SUITES.map(str::to_owned).to_vec(),
            keyring: "/usr/share/keyrings/debian-archive-keyring.gpg".into(),
        }
    }
}
