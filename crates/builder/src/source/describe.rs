//! What sources are, in a few words for people.

use super::{
    Place, SourceKind,
    options::{Repository, TarballCheck},
};

impl SourceKind {
    /// Where it looks, and how it knows that what it finds is right.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Release(tree) => tree.path.to_string(),
            Self::Debian(None) => "the archive of the [debian] section".to_owned(),
            Self::Debian(Some(options)) => options.describe(),
            Self::Directory(directory) => directory.path.to_string(),
            Self::Tarball(tarball) => {
                let patches = tarball.patches.as_ref();
                let patches = patches.map_or(String::new(), |place| format!(" with {place}"));
                let check = match &tarball.check {
                    TarballCheck::None => "not checked".to_owned(),
                    TarballCheck::Sums { list, keyring: None } => format!("digests from {list}"),
                    TarballCheck::Sums { list, keyring: Some(keyring) } => {
                        format!("digests from {list}, signed by a key of {keyring}")
                    }
                    TarballCheck::Signature { keyring, .. } => {
                        format!("signed by a key of {keyring}")
                    }
                };
                format!("{}{patches}, {check}", tarball.place)
            }
            Self::Git(git) => {
                let repository = match &git.repository {
                    Repository::Path(path) => path.as_str(),
                    Repository::Url(url) => url,
                };
                let check = git.verify_tag.as_ref();
                let check = check
                    .map_or(String::new(), |keyring| format!(", signed by a key of {keyring}"));
                format!("tags {} of {repository}{check}", git.tag)
            }
            Self::Portage(portage) => {
                format!("{} of {}, root {}", portage.package, portage.repository, portage.root)
            }
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(template) | Self::Url(template) => template.fmt(formatter),
        }
    }
}
