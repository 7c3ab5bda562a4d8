use serde::Deserialize;

/// What the cache directory may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSection {
    /// The most that the cache may take on the disk; absent: nothing is evicted.
    pub disk_budget_gib: Option<u64>,
}
