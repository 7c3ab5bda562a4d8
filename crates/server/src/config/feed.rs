use serde::Deserialize;

/// How old a feed's data may be, in days: a few days without anything new, as over holidays, are nothing to
/// warn of, and a mirror that nobody updates shows within a week.
pub const DEFAULT_STALE_DAYS: u32 = 7;

/// Where the kernel's CVE feed comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedSection {
    /// The address of its git repository, or a directory, a local clone or a tarball on the server;
    /// absent: there is no feed.
    pub source: Option<String>,
    /// How often it is read, in hours.
    pub every_hours: u32,
    /// How old its data may be, or how long ago it may have been read, in days, before it is called stale.
    pub stale_days: u32,
    /// The keys that feeds must be signed with that are imported (`RW…`); without any, an import has to name
    /// one.
    pub public_keys: Vec<String>,
}

impl Default for FeedSection {
    fn default() -> Self {
        Self {
            source: None,
            every_hours: 6,
            stale_days: DEFAULT_STALE_DAYS,
            public_keys: Vec::new(),
        }
    }
}
