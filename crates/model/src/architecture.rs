use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A processor architecture that livepatches can be built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit x86, `uname -m` says `x86_64`, Debian says `amd64`.
    X86_64,
}

/// An architecture that elivepatch does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("architecture \"{0}\" is not served (served: x86_64)")]
pub struct UnknownArchitecture(pub String);

impl Architecture {
    /// The name in `uname -m` and in kernel configs' `CONFIG_X86_64`-style options, lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Architecture::X86_64 => "x86_64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    /// Reads the names that `uname -m` and Debian use.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "x86_64" | "amd64" => Ok(Architecture::X86_64),
            other => Err(UnknownArchitecture(other.to_owned())),
        }
    }
}
