//! Where the source of a kernel comes from.

use elivepatch_model::{BaseKind, SourceRecord};
use serde::{Deserialize, Serialize};

use crate::debian::KernelPackages;

/// The source that a base is made from. It is kept with the base, and says what kind of base that
/// is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum KernelSource {
    /// The packages of a stock kernel.
    Debian(KernelPackages),
}

impl KernelSource {
    /// The kind of base that is made from it.
    pub fn base_kind(&self) -> BaseKind {
        match self {
            Self::Debian(_) => BaseKind::Prepared,
        }
    }

    /// What people call it: the version of the packages.
    pub fn name(&self) -> &str {
        match self {
            Self::Debian(packages) => &packages.version,
        }
    }

    /// What decides what is made from it, as a text of a line each.
    pub fn identity(&self) -> String {
        match self {
            Self::Debian(packages) => packages
                .all()
                .iter()
                .map(|package| format!("{} {} {}\n", package.name, package.version, package.digest))
                .collect(),
        }
    }

    /// The record for the manifest.
    pub fn record(&self) -> SourceRecord {
        match self {
            Self::Debian(packages) => packages.record(),
        }
    }
}
