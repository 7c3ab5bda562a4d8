use serde::Deserialize;

/// How hosts report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostsSection {
    /// After how many seconds each is to report again.
    pub report_seconds: u32,
}

impl Default for HostsSection {
    fn default() -> Self {
        Self { report_seconds: 900 }
    }
}
