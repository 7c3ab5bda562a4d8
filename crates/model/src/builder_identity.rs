use std::collections::BTreeMap;

use crate::{KernelRelease, Sha256Digest};

/// What decides a builder's results beside the order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuilderIdentity {
    /// Version and revision of its code, and its recipes: `VERSION+REVISION NAME DIGEST NAME DIGEST …`.
    pub common: String,
    /// The digests of the source trees on the server, each for the kernels of one release.
    pub sources: BTreeMap<KernelRelease, Sha256Digest>,
}

impl BuilderIdentity {
    /// What of it decides about builds for a release: another release's source does not.
    pub fn of_builds_for(&self, release: &KernelRelease) -> String {
        match self.sources.get(release) {
            Some(digest) => format!("{} {release} {digest}", self.common),
            None => self.common.clone(),
        }
    }

    /// Whether kernels of a release are built here from source, so that nothing but the running
    /// kernel's symbols can prove that the result fits it. Otherwise its own vmlinux is at hand.
    pub fn builds_kernel_of(&self, release: &KernelRelease) -> bool {
        self.sources.contains_key(release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_of_another_release_does_not_decide() {
        let release = |text: &str| text.parse::<KernelRelease>().expect("a release");
        let identity = |sources: &[(&str, &[u8])]| BuilderIdentity {
            common: "0.2.0+abc".to_owned(),
            sources: sources
                .iter()
                .map(|(name, text)| (release(name), Sha256Digest::of(text)))
                .collect(),
        };
        let first = identity(&[("6.12.1-a", b"one"), ("7.3.4-b", b"two")]);
        let edited = identity(&[("6.12.1-a", b"one"), ("7.3.4-b", b"changed")]);
        let words = |identity: &BuilderIdentity, name| identity.of_builds_for(&release(name));
        assert_eq!(words(&first, "6.12.1-a"), words(&edited, "6.12.1-a"));
        assert_ne!(words(&first, "7.3.4-b"), words(&edited, "7.3.4-b"));
        assert_eq!(words(&first, "6.1.0-50-cloud-amd64"), "0.2.0+abc");
    }
}
