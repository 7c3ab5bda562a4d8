//! Where the source of a kernel comes from: the sources of the server's config, in their order.

mod archive;
mod baseline;
mod catalog;
mod describe;
mod directory;
#[cfg(test)]
mod evicted_tests;
mod fetch;
mod git;
mod identity;
mod local;
mod not_served;
mod options;
mod portage;
mod repository;
mod rules;
mod search;
mod signature;
mod sums;
mod tarball;
#[cfg(test)]
mod test_place;
#[cfg(test)]
mod test_web;
mod tree;
mod unpack;
mod walk;

use elivepatch_model::{BaseKind, SourceRecord};
use serde::{Deserialize, Serialize};

pub use baseline::BaselinePatch;
pub(crate) use baseline::{Unpacking, apply_baseline};
pub(crate) use catalog::{FoundSource, Sources};
pub use options::{
    DirectoryOptions, GitOptions, Place, PortageOptions, Repository, SourceKind, SourceOptions,
    TarballCheck, TarballOptions,
};
pub(crate) use search::{Search, Tools, Wanted};
pub use tree::{SourceTree, TreeFacts};
pub use unpack::TARBALLS;

use crate::debian::KernelPackages;

/// The source that a base is made from. It is kept with the base, and says what kind of base that
/// is: with the packages of a stock kernel its own vmlinux is at hand; of a tree the whole kernel
/// has to be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum KernelSource {
    /// The packages of a stock kernel.
    Debian(Box<KernelPackages>),
    /// A source of which the whole kernel is built.
    Tree(TreeFacts),
}

impl KernelSource {
    /// The kind of base that is made from it.
    pub fn base_kind(&self) -> BaseKind {
        match self {
            Self::Debian(_) => BaseKind::Prepared,
            Self::Tree(_) => BaseKind::Built,
        }
    }

    /// What people call it: the version of the packages, or the name of the tree's file.
    pub fn name(&self) -> &str {
        match self {
            Self::Debian(packages) => &packages.version,
            Self::Tree(tree) => tree.name(),
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
            Self::Tree(tree) => tree.identity(),
        }
    }

    /// The record for the manifest.
    pub fn record(&self) -> SourceRecord {
        match self {
            Self::Debian(packages) => packages.record(),
            Self::Tree(tree) => tree.record(),
        }
    }
}
