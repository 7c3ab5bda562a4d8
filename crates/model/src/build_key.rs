use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    BehaviourCheck, BuildOptions, ElfBuildId, Fix, KernelRelease, PatchRecord, Sha256Digest,
};

/// The digest of everything that decides what a build gives. Equal keys are the same build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct BuildKey(pub Sha256Digest);

/// What goes into a [`BuildKey`]. What is absent leaves the key as it was before there was such a
/// thing, so that manifests of older versions can be rebuilt.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BuildKeyInput<'a> {
    /// The target's release.
    pub release: &'a KernelRelease,
    /// The target's build-id, when known.
    pub build_id: Option<&'a ElfBuildId>,
    /// The target's `uname -v`, when known: it chooses the package version.
    pub kernel_version: Option<&'a str>,
    /// [`crate::KernelConfig::digest`] of the target's config.
    pub config: Sha256Digest,
    /// The symbols of the running kernel ([`crate::Kallsyms`]), when they are what the fit is proven
    /// by: the proof for one machine is none for another with other symbols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kallsyms: Option<Sha256Digest>,
    /// The patches that are compiled into the running kernel, in their order.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub baseline: &'a [PatchRecord],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_request_did_not_have_leaves_its_key_as_it_was() {
        let release: KernelRelease = "6.1.0-50-cloud-amd64".parse().expect("a release");
        let options = BuildOptions::default();
        let config = Sha256Digest::of(b"config");
        let input = BuildKeyInput {
            release: &release,
            build_id: None,
            kernel_version: None,
            config,
            kallsyms: None,
            baseline: &[],
            fixes: &[],
            checks: &[],
            options: &options,
            builder: "test",
        };
        let old = format!(
            r#"{{"release":"{release}","build_id":null,"kernel_version":null,"config":"{config}","fixes":[],"checks":[],"options":{{}},"builder":"test"}}"#
        );
        assert_eq!(input.key().0, Sha256Digest::of(old.as_bytes()));
        let record = PatchRecord { name: "a.patch".to_owned(), digest: config };
        let unproven = BuildOptions { accept_unproven: true, ..BuildOptions::default() };
        let replacing = BuildOptions { replaces: Some(config), ..BuildOptions::default() };
        let stacking = BuildOptions { stack: true, ..BuildOptions::default() };
        let mut keys = vec![
            input.key(),
            BuildKeyInput { options: &stacking, ..input }.key(),
            BuildKeyInput { kallsyms: Some(config), ..input }.key(),
            BuildKeyInput { baseline: std::slice::from_ref(&record), ..input }.key(),
            BuildKeyInput { options: &unproven, ..input }.key(),
            BuildKeyInput { options: &replacing, ..input }.key(),
        ];
        keys.sort_by_key(ToString::to_string);
        keys.dedup();
        assert_eq!(keys.len(), 6);
    }
}
