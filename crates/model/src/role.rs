use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What somebody who has a token may ask of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// See what is there: builds, runs, hosts, livepatches.
    Read,
    /// Also order and cancel builds and CVE runs.
    Submit,
    /// Everything: also assign livepatches to hosts, hold and withdraw them, and see the audit log.
    Admin,
    /// One host: report for itself, be told what is assigned to it, and fetch that.
    Host,
    /// One machine that builds: lease builds and hand over their livepatches, and nothing else.
    Worker,
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: read, submit, admin, host or worker")]
pub struct RoleError(String);

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Submit, Self::Host, Self::Worker, Self::Read];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
            Self::Host => "host",
            Self::Worker => "worker",
        }
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| RoleError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
