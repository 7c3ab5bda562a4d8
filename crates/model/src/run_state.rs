use serde::{Deserialize, Serialize};

/// Where a CVE run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// The texts of the fixes are fetched.
    Gathering,
    /// Each fix is tried alone.
    Trying,
    /// The fixes that work alone are put together.
    Combining,
    /// Each CVE has its verdict, and what can be fixed together is in the livepatch, when anything can.
    Finished,
    /// It ended by something that no fix is to blame for; the failure says what.
    Failed,
    /// Someone cancelled it.
    Cancelled,
}

impl RunState {
    /// Whether nothing more will happen to the run.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }

    /// The name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gathering => "gathering",
            Self::Trying => "trying",
            Self::Combining => "combining",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::str::FromStr for RunState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [
            Self::Gathering,
            Self::Trying,
            Self::Combining,
            Self::Finished,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| format!("\"{text}\" is not a run state"))
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
