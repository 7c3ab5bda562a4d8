use serde::Deserialize;

/// Where Debian's packages come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DebianSection {
    /// The base URL of the archive; `None`: as the machine's own apt is configured.
    pub mirror: Option<String>,
    /// The base URL of the security archive; `None`: as the machine's own apt is configured.
    pub security_mirror: Option<String>,
    /// The suites in which kernels are looked for.
    pub suites: Vec<String>,
}

impl Default for DebianSection {
    fn default() -> Self {
        // As the builder's default, which this crate does not know.
        let suites = [
            "bookworm",
            "bookworm-updates",
            "bookworm-security",
            "trixie",
            "trixie-updates",
            "trixie-security",
            "trixie-backports",
        ];
        Self { mirror: None, security_mirror: None, suites: suites.map(str::to_owned).to_vec() }
    }
}
