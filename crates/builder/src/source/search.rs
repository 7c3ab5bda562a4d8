//! What sources are asked, and what they work with.

use elivepatch_model::{Failure, KernelConfig, KernelRelease};

use super::not_served::not_here;
use crate::{BaselinePatch, Cache, Observer, debian::Apt, sandbox::Sandbox};

/// What a source is looked for.
pub(crate) struct Wanted<'a> {
    /// The target's release.
    pub release: &'a KernelRelease,
    /// Its config.
    pub config: &'a KernelConfig,
    /// Its `uname -v`, where that is known.
    pub kernel_version: Option<&'a str>,
    /// The patches that are compiled into it.
    pub baseline: &'a [BaselinePatch],
}

impl Wanted<'_> {
    /// Looks whether the release says of which version of Linux the kernel is: many distributions' do
    /// not.
    ///
    /// # Errors
    /// `release-unknown` when the config was made by another version.
    pub(super) fn check_version(&self) -> Result<(), Failure> {
        let version = self.release.upstream_version();
        let made_by = self.config.header_version().map(KernelRelease::upstream_version);
        match made_by.filter(|made_by| *made_by != version) {
            None => Ok(()),
            Some(made_by) => Err(not_here(format!(
                "the config was made by Linux {made_by}, and the release names {version}"
            ))),
        }
    }
}

/// What sources work with.
#[derive(Clone, Copy)]
pub(crate) struct Tools<'a> {
    /// The cache directory.
    pub cache: &'a Cache,
    /// Where foreign tools run.
    pub sandbox: &'a Sandbox,
    /// Who hears of it.
    pub observer: &'a dyn Observer,
}

/// What the search works with.
pub(crate) struct Search<'a> {
    /// What sources work with.
    pub tools: Tools<'a>,
    /// Debian's archive as the `[debian]` section has it.
    pub apt: Box<dyn Fn() -> Result<&'a Apt, Failure> + 'a>,
}
