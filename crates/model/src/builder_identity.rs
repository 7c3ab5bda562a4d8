use std::collections::BTreeMap;

use crate::{KernelRelease, ReleasePattern, Sha256Digest, SourceTemplate};

/// What decides a builder's results beside the order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuilderIdentity {
    /// Version and revision of its code, and its recipes: `VERSION+REVISION NAME DIGEST NAME DIGEST …`.
    pub common: String,
    /// The digests of the source trees on the server, each for the kernels of one release.
    pub sources: BTreeMap<KernelRelease, Sha256Digest>,
    /// The named sources of the server's config, in their order.
    pub named: Vec<SourceIdentity>,
}

/// What of a named source decides a builder's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIdentity {
    /// The releases that it may serve; empty: all.
    pub releases: Vec<ReleasePattern>,
    /// The digest of all that the config says of it.
    pub digest: Sha256Digest,
    /// Where it has files on the server, one for each kernel.
    pub places: Vec<SourceTemplate>,
    /// The digests of the files and directories that were there, by their paths.
    pub files: BTreeMap<String, Sha256Digest>,
}

impl SourceIdentity {
    fn may_serve(&self, release: &KernelRelease) -> bool {
        self.releases.is_empty() || self.releases.iter().any(|pattern| pattern.matches(release))
    }
}

impl BuilderIdentity {
    /// What of it decides about builds for a release: another release's source does not.
    pub fn of_builds_for(&self, release: &KernelRelease) -> String {
        let mut text = self.common.clone();
        for source in self.named.iter().filter(|source| source.may_serve(release)) {
            text.push_str(&format!(" source {}", source.digest));
            let places = source.places.iter().map(|place| place.fill(release));
            for digest in places.filter_map(|place| source.files.get(&place)) {
                text.push_str(&format!(" file {digest}"));
            }
        }
        if let Some(digest) = self.sources.get(release) {
            text.push_str(&format!(" {release} {digest}"));
        }
        text
    }

    /// Whether kernels of a release are built here from source, so that nothing but the running
    /// kernel's symbols can prove that the result fits it. Otherwise its own vmlinux is at hand.
    pub fn builds_kernel_of(&self, release: &KernelRelease) -> bool {
        self.sources.contains_key(release)
            || self.named.iter().any(|source| source.may_serve(release))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> KernelRelease {
        text.parse().expect("a release")
    }

    #[test]
    fn source_of_another_release_does_not_decide() {
        let identity = |sources: &[(&str, &[u8])]| BuilderIdentity {
            common: "0.2.0+abc".to_owned(),
            sources: sources
                .iter()
                .map(|(name, text)| (release(name), Sha256Digest::of(text)))
                .collect(),
            named: Vec::new(),
        };
        let first = identity(&[("6.12.1-a", b"one"), ("7.3.4-b", b"two")]);
        let edited = identity(&[("6.12.1-a", b"one"), ("7.3.4-b", b"changed")]);
        let words = |identity: &BuilderIdentity, name| identity.of_builds_for(&release(name));
        assert_eq!(words(&first, "6.12.1-a"), words(&edited, "6.12.1-a"));
        assert_ne!(words(&first, "7.3.4-b"), words(&edited, "7.3.4-b"));
        assert_eq!(words(&first, "6.1.0-50-cloud-amd64"), "0.2.0+abc");
    }

    #[test]
    fn named_source_decides_for_the_releases_that_it_may_serve() {
        let identity = |patterns: &[&str], text: &[u8]| BuilderIdentity {
            named: vec![SourceIdentity {
                releases: patterns.iter().map(|text| text.parse().expect("a pattern")).collect(),
                digest: Sha256Digest::of(text),
                places: Vec::new(),
                files: BTreeMap::new(),
            }],
            ..BuilderIdentity::default()
        };
        let (first, edited) = (identity(&["6.12.*"], b"one"), identity(&["6.12.*"], b"two"));
        let words = |identity: &BuilderIdentity, name| identity.of_builds_for(&release(name));
        assert_ne!(words(&first, "6.12.31"), words(&edited, "6.12.31"));
        assert_eq!(words(&first, "6.1.31"), words(&edited, "6.1.31"));
        let (first, edited) = (identity(&[], b"one"), identity(&[], b"two"));
        assert_ne!(words(&first, "6.1.31"), words(&edited, "6.1.31"));
    }

    #[test]
    fn file_on_the_server_decides_for_its_own_kernel_only() {
        let identity = |text: &[u8]| BuilderIdentity {
            named: vec![SourceIdentity {
                releases: Vec::new(),
                digest: Sha256Digest::of(b"config"),
                places: vec!["/src/{release}".parse().expect("a template")],
                files: BTreeMap::from([("/src/6.1.31".to_owned(), Sha256Digest::of(text))]),
            }],
            ..BuilderIdentity::default()
        };
        let (first, edited) = (identity(b"one"), identity(b"two"));
        let words = |identity: &BuilderIdentity, name| identity.of_builds_for(&release(name));
        assert_ne!(words(&first, "6.1.31"), words(&edited, "6.1.31"));
        assert_eq!(words(&first, "6.1.32"), words(&edited, "6.1.32"));
    }
}
