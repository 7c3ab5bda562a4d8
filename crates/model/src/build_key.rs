use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BehaviourCheck, BuildOptions, ElfBuildId, Fix, KernelRelease, Sha256Digest};

/// The digest of everything that decides what a build gives. Equal keys are the same build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct BuildKey(pub Sha256Digest);

/// What goes into a [`BuildKey`].
#[derive(Debug, Serialize)]
pub struct BuildKeyInput<'a> {
    /// The target's release.
    pub release: &'a KernelRelease,
    /// The target's build-id, when known.
    pub build_id: Option<&'a ElfBuildId>,
    /// The target's `uname -v`, when known: it chooses the package version.
    pub kernel_version: Option<&'a str>,
    /// [`crate::KernelConfig::digest`] of the target's config.
    pub config: Sha256Digest,
    /// The fixes in their order.
    pub fixes: &'a [Fix],
    /// The checks that the trial makes.
    pub checks: &'a [BehaviourCheck],
    /// How the livepatch is to be made.
    pub options: &'a BuildOptions,
    /// Version of the builder with its engines, source rules and toolchain recipes.
    pub builder: &'a str,
}

impl BuildKeyInput<'_> {
    /// The key: the digest of the input's canonical JSON.
    pub fn key(&self) -> BuildKey {
        let text = serde_json::to_vec(self).expect("plain data has a JSON form");
        BuildKey(Sha256Digest::of(&text))
    }
}

impl fmt::Display for BuildKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
