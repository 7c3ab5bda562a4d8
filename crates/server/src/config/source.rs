//! The sources of kernels, as the config has them: one `[[source]]` each, with the keys of its kind.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use elivepatch_model::{KernelRelease, ReleasePattern, Sha256Digest};
use serde::Deserialize;

/// A source of kernels. Which keys it must and may have is a matter of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSection {
    /// Its name; without one it is the source of the kernels of one release.
    pub name: Option<String>,
    /// Its kind.
    pub kind: Option<SourceKindName>,
    /// The releases that it may serve; empty: all.
    pub releases: Vec<ReleasePattern>,
    /// `uname -r` of the kernels that were built from it, when it has neither name nor kind.
    pub release: Option<KernelRelease>,
    /// A path on the server: a directory, a tarball or a git repository, for all but one release a
    /// template of it.
    pub path: Option<String>,
    /// An address, or a template of it.
    pub url: Option<String>,
    /// Where the patches of the stable branch lie: a template of a path or an address.
    pub patches: Option<String>,
    /// A list of digests in the form of `sha256sum`: a path or an address, or a template of it.
    pub sha256sums: Option<String>,
    /// The signature of the uncompressed tarball: a template of a path or an address.
    pub signature: Option<String>,
    /// The keys one of which must have signed.
    pub keyring: Option<Utf8PathBuf>,
    /// The tag of a version, a template.
    pub tag: Option<String>,
    /// The keys one of which must have signed the tag.
    pub verify_tag: Option<Utf8PathBuf>,
    /// The base URL of a Debian archive.
    pub mirror: Option<String>,
    /// The base URL of its security archive.
    pub security_mirror: Option<String>,
    /// The suites in which kernels are looked for.
    pub suites: Option<Vec<String>>,
    /// Whether an index that is past its time is refused.
    pub valid_until: Option<bool>,
    /// A directory with package files.
    pub packages: Option<Utf8PathBuf>,
    /// The digests of package files by their names.
    pub sha256: BTreeMap<String, Sha256Digest>,
    /// The root of a Gentoo system.
    pub root: Option<Utf8PathBuf>,
    /// The directory of an ebuild repository.
    pub repository: Option<Utf8PathBuf>,
    /// The directory of the files that ebuilds name.
    pub distfiles: Option<Utf8PathBuf>,
    /// Category and name of an ebuild's package.
    pub package: Option<String>,
}

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKindName {
    /// Packages of stock kernels.
    Debian,
    /// Tarballs as kernel.org has them.
    Tarball,
    /// The tags of a git repository.
    Git,
    /// Directories.
    Directory,
    /// What Gentoo's ebuilds make.
    Portage,
}

impl SourceKindName {
    /// The name in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Tarball => "tarball",
            Self::Git => "git",
            Self::Directory => "directory",
            Self::Portage => "portage",
        }
    }

    /// The keys that it may have, beside name, kind and releases.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Debian => &[
                "mirror",
                "security_mirror",
                "suites",
                "keyring",
                "valid_until",
                "packages",
                "sha256",
            ],
            Self::Tarball => &["url", "path", "patches", "sha256sums", "signature", "keyring"],
            Self::Git => &["url", "path", "tag", "verify_tag"],
            Self::Directory => &["path"],
            Self::Portage => &["root", "repository", "distfiles", "package"],
        }
    }
}

impl SourceSection {
    /// What it is called in messages.
    pub fn label(&self) -> String {
        match (&self.name, &self.release) {
            (Some(name), _) => name.clone(),
            (None, Some(release)) => format!("of {release}"),
            (None, None) => "without a name".to_owned(),
        }
    }

    /// The keys of kinds that are set.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        let keys = [
            ("path", self.path.is_some()),
            ("url", self.url.is_some()),
            ("patches", self.patches.is_some()),
            ("sha256sums", self.sha256sums.is_some()),
            ("signature", self.signature.is_some()),
            ("keyring", self.keyring.is_some()),
            ("tag", self.tag.is_some()),
            ("verify_tag", self.verify_tag.is_some()),
            ("mirror", self.mirror.is_some()),
            ("security_mirror", self.security_mirror.is_some()),
            ("suites", self.suites.is_some()),
            ("valid_until", self.valid_until.is_some()),
            ("packages", self.packages.is_some()),
            ("sha256", !self.sha256.is_empty()),
            ("root", self.root.is_some()),
            ("repository", self.repository.is_some()),
            ("distfiles", self.distfiles.is_some()),
            ("package", self.package.is_some()),
        ];
        keys.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key).collect()
    }
}
