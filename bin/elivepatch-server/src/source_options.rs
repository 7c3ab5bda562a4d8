//! The sources of the config, as the builder takes them.

use elivepatch_builder::{
    DebianOptions, DirectoryOptions, GitOptions, PackageDirectory, Place, PortageOptions,
    Repository, SourceKind, SourceOptions, SourceTree, TarballCheck, TarballOptions,
};
use elivepatch_model::SourceTemplate;
use elivepatch_server::config::{SourceKindName, SourceSection};

/// The package of Gentoo's kernel source.
const GENTOO_SOURCES: &str = "sys-kernel/gentoo-sources";

/// Where Gentoo has its ebuild repository, below its root.
const GENTOO_REPOSITORY: &str = "var/db/repos/gentoo";

/// The options of a source; `None` for one that the config's check refuses. What a source of the
/// kind `debian` leaves out is as `debian` has it.
pub(crate) fn source_options(
    section: &SourceSection,
    debian: &DebianOptions,
) -> Option<SourceOptions> {
    if let Some(release) = &section.release {
        let path = section.path.as_ref()?.into();
        return Some(SourceTree { release: release.clone(), path }.into());
    }
    let kind = match section.kind? {
        SourceKindName::Debian => SourceKind::Debian(debian_options(section, debian).map(Box::new)),
        SourceKindName::Tarball => SourceKind::Tarball(tarball(section)?),
        SourceKindName::Git => SourceKind::Git(GitOptions {
            repository: match (&section.path, &section.url) {
                (Some(path), _) => Repository::Path(path.into()),
                (None, url) => Repository::Url(url.clone()?),
            },
            tag: template(section.tag.as_deref().unwrap_or("v{version}"))?,
            verify_tag: section.verify_tag.clone(),
        }),
        SourceKindName::Directory => {
            SourceKind::Directory(DirectoryOptions { path: template(section.path.as_ref()?)? })
        }
        SourceKindName::Portage => {
            let root = section.root.clone().unwrap_or_else(|| "/".into());
            SourceKind::Portage(PortageOptions {
                repository: section.repository.clone().unwrap_or(root.join(GENTOO_REPOSITORY)),
                distfiles: section.distfiles.clone()?,
                package: section.package.clone().unwrap_or(GENTOO_SOURCES.to_owned()),
                root,
            })
        }
    };
    Some(SourceOptions { name: section.name.clone()?, releases: section.releases.clone(), kind })
}

/// `None` when it says nothing of its own.
fn debian_options(section: &SourceSection, debian: &DebianOptions) -> Option<DebianOptions> {
    let SourceSection { mirror, security_mirror, suites, keyring, valid_until, packages, .. } =
        section;
    let says_nothing = mirror.is_none()
        && security_mirror.is_none()
        && suites.is_none()
        && keyring.is_none()
        && valid_until.is_none()
        && packages.is_none();
    if says_nothing {
        return None;
    }
    let mut options = debian.clone();
    if mirror.is_some() {
        options.mirror.clone_from(mirror);
        // A snapshot of the main archive has nothing of the security archive.
        options.security_mirror.clone_from(security_mirror);
        options.without_security = security_mirror.is_none();
    } else if security_mirror.is_some() {
        options.security_mirror.clone_from(security_mirror);
    }
    if let Some(suites) = suites {
        options.suites.clone_from(suites);
    }
    if let Some(keyring) = keyring {
        options.keyring.clone_from(keyring);
    }
    options.valid_until = valid_until.unwrap_or(true);
    options.packages = packages.as_ref().map(|directory| PackageDirectory {
        directory: directory.clone(),
        digests: section.sha256.clone(),
    });
    Some(options)
}

fn tarball(section: &SourceSection) -> Option<TarballOptions> {
    let keyring = section.keyring.clone();
    let check = match (&section.sha256sums, keyring) {
        (Some(list), keyring) => TarballCheck::Sums { list: place(list)?, keyring },
        (None, Some(keyring)) => TarballCheck::Signature {
            signature: section.signature.as_deref().and_then(place),
            keyring,
        },
        (None, None) => TarballCheck::None,
    };
    Some(TarballOptions {
        place: place(section.url.as_ref().or(section.path.as_ref())?)?,
        patches: section.patches.as_deref().and_then(place),
        check,
    })
}

fn place(text: &str) -> Option<Place> {
    let template = template(text)?;
    Some(if text.starts_with('/') { Place::Path(template) } else { Place::Url(template) })
}

fn template(text: &str) -> Option<SourceTemplate> {
    text.parse().ok()
}
