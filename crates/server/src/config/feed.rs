use serde::Deserialize;

/// Where the kernel's CVE feed comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedSection {
    /// The address of its git repository, or a directory, a local clone or a tarball on the server;
    /// absent: there is no feed.
    pub source: Option<String>,
    /// How often it is read, in hours.
    pub every_hours: u32,
    /// After how many days without being read it is called stale.
    pub stale_days: u32,
}

impl Default for FeedSection {
    fn default() -> Self {
        Self { source: None, every_hours: 6, stale_days: 3 }
    }
}
