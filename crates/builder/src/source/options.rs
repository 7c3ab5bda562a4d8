//! What the server's config says of its sources.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{KernelRelease, ReleasePattern, Sha256Digest, SourceTemplate};

use super::SourceTree;
use crate::debian::DebianOptions;

/// A source of kernels, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOptions {
    /// Its name, for people; of a source for one release that release.
    pub name: String,
    /// The releases that it may serve; empty: all.
    pub releases: Vec<ReleasePattern>,
    /// What it is.
    pub kind: SourceKind,
}

/// The kinds of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A directory or tarball for the kernels of one release.
    Release(SourceTree),
    /// Packages of stock kernels, in Debian's archive, a snapshot of it, or a directory.
    /// `None`: as the `[debian]` section of the config has it.
    Debian(Option<Box<DebianOptions>>),
    /// Tarballs as kernel.org has them.
    Tarball(TarballOptions),
    /// The tags of a git repository.
    Git(GitOptions),
    /// Directories that the server's administrator put there.
    Directory(DirectoryOptions),
    /// What Gentoo's ebuilds make of their distfiles.
    Portage(PortageOptions),
}

impl From<SourceTree> for SourceOptions {
    fn from(tree: SourceTree) -> Self {
        let name = tree.release.to_string();
        Self { name, releases: Vec::new(), kind: SourceKind::Release(tree) }
    }
}

impl SourceKind {
    /// The name of the kind, in the config and in manifests.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Release(_) => "tree",
            Self::Debian(_) => "debian",
            Self::Tarball(_) => "tarball",
            Self::Git(_) => "git",
            Self::Directory(_) => "directory",
            Self::Portage(_) => "portage",
        }
    }
}

/// Where a file lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the server.
    Path(SourceTemplate),
    /// Behind an `http://` or `https://` address.
    Url(SourceTemplate),
}

impl Place {
    /// The path or address for a kernel.
    pub fn fill(&self, release: &KernelRelease) -> String {
        match self {
            Self::Path(template) | Self::Url(template) => template.fill(release),
        }
    }
}

/// How it is known that a tarball is what it is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarballCheck {
    /// It is a file of the server's administrator.
    None,
    /// Its digest is in a list in the form of `sha256sum`.
    Sums {
        /// The list.
        list: Place,
        /// The keys one of which must have signed the list in clear text; a list that comes by
        /// plain http needs one.
        keyring: Option<Utf8PathBuf>,
    },
    /// It is signed.
    Signature {
        /// The signature of the uncompressed file; `None`: beside it, with the ending `.sign` in
        /// the place of that of the compression.
        signature: Option<Place>,
        /// The keys one of which must have made it.
        keyring: Utf8PathBuf,
    },
}

/// Tarballs as kernel.org has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarballOptions {
    /// Where they lie.
    pub place: Place,
    /// Where the patches of the stable branch lie that lead from `X.Y` to `X.Y.Z`; `None`: there is
    /// a tarball for each version.
    pub patches: Option<Place>,
    /// How it is known that they are right.
    pub check: TarballCheck,
}

/// A git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitOptions {
    /// Where it is.
    pub repository: Repository,
    /// The tag of a version.
    pub tag: SourceTemplate,
    /// The keys one of which must have signed the tag.
    pub verify_tag: Option<Utf8PathBuf>,
}

/// Where a git repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repository {
    /// On the server.
    Path(Utf8PathBuf),
    /// Behind an address with one of the schemes https, http, git and ssh.
    Url(String),
}

/// Directories that the server's administrator put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// Where they lie.
    pub path: SourceTemplate,
}

/// Gentoo's ebuilds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortageOptions {
    /// The root of the Gentoo system whose tools and repository are used; `/` is the server itself.
    pub root: Utf8PathBuf,
    /// The directory of the ebuild repository, on the server.
    pub repository: Utf8PathBuf,
    /// The files that the ebuilds name, on the server: nothing is fetched.
    pub distfiles: Utf8PathBuf,
    /// Category and name of the package.
    pub package: String,
}

impl SourceOptions {
    /// Whether it may serve a kernel with this release.
    pub fn may_serve(&self, release: &KernelRelease) -> bool {
        match &self.kind {
            SourceKind::Release(tree) => tree.release == *release,
            _ => {
                self.releases.is_empty()
                    || self.releases.iter().any(|pattern| pattern.matches(release))
            }
        }
    }

    /// Where it has files on the server, one for each kernel.
    pub(crate) fn local_places(&self) -> Vec<SourceTemplate> {
        let places: Vec<&Place> = match &self.kind {
            SourceKind::Directory(directory) => return vec![directory.path.clone()],
            SourceKind::Tarball(tarball) => {
                [Some(&tarball.place), tarball.patches.as_ref()].into_iter().flatten().collect()
            }
            _ => Vec::new(),
        };
        let paths = places.into_iter().filter_map(|place| match place {
            Place::Path(path) => Some(path.clone()),
            Place::Url(_) => None,
        });
        paths.collect()
    }

    /// Its tag for each kernel in a git repository on the server.
    pub(crate) fn local_tag(&self) -> Option<SourceTemplate> {
        match &self.kind {
            SourceKind::Git(GitOptions { repository: Repository::Path(_), tag, .. }) => {
                Some(tag.clone())
            }
            _ => None,
        }
    }

    /// The files and directories that must be on the server whatever the kernel is, each with its key
    /// in the config.
    pub(crate) fn needed_paths(&self) -> Vec<(&'static str, &Utf8Path)> {
        let mut needed: Vec<(&'static str, Option<&Utf8PathBuf>)> = Vec::new();
        match &self.kind {
            SourceKind::Release(_) | SourceKind::Directory(_) | SourceKind::Debian(None) => {}
            SourceKind::Debian(Some(options)) => {
                needed.push(("keyring", Some(&options.keyring)));
                let packages = options.packages.as_ref();
                needed.push(("packages", packages.map(|packages| &packages.directory)));
            }
            SourceKind::Tarball(options) => needed.push(match &options.check {
                TarballCheck::None => ("keyring", None),
                TarballCheck::Sums { keyring, .. } => ("keyring", keyring.as_ref()),
                TarballCheck::Signature { keyring, .. } => ("keyring", Some(keyring)),
            }),
            SourceKind::Git(options) => {
                if let Repository::Path(path) = &options.repository {
                    needed.push(("path", Some(path)));
                }
                needed.push(("verify_tag", options.verify_tag.as_ref()));
            }
            SourceKind::Portage(options) => {
                needed.push(("root", Some(&options.root)));
                needed.push(("repository", Some(&options.repository)));
                needed.push(("distfiles", Some(&options.distfiles)));
            }
        }
        needed.into_iter().filter_map(|(key, path)| Some((key, path?.as_path()))).collect()
    }

    /// A digest of all that the config says of it.
    pub(crate) fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(format!("{:?}", self.kind).as_bytes())
    }
}
