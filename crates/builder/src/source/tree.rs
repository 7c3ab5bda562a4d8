//! Source trees that an administrator put on the server: which one serves a target, what is in it,
//! and how it gets into a base.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{
    Failure, FailureClass, GitRecord, KernelRelease, PackageRecord, PatchRecord, Sha256Digest,
    SourceRecord,
};
use serde::{Deserialize, Serialize};

use super::{Unpacking, directory, git, unpack, walk::unreadable};
use crate::{
    Cache, Observer, cache::CacheLock, digest_file::digest_open_file, housekeeping::mark_used,
};

/// How old the last change of a source must be, in seconds, before what was found out is kept: a
/// change in the same instant would not show.
const SETTLED_SECONDS: i64 = 2;

/// A source tree that an administrator put on the server, for the kernels of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTree {
    /// `uname -r` of the kernels that were built from it.
    pub release: KernelRelease,
    /// A directory, or a tarball with one directory at its top.
    pub path: Utf8PathBuf,
}

/// What the tree of a tag takes while it is exported, in bytes: all files in one, and the tree. Linux 7.3
/// has 1.6 GB and 1.8.
const GIT_BYTES: u64 = 4_000_000_000;

/// What is known of a source of which the whole kernel is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeFacts {
    /// Where it lies: a directory, a tarball, or a git repository.
    pub path: Utf8PathBuf,
    /// The digest of the tarball, or of all that is in the directory; of a git repository that of
    /// the names of commit and tree.
    pub digest: Sha256Digest,
    /// The kind of source and the version that it has; `None`: the config names it for a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
    /// The patches of the stable branch that are applied to it, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub increments: Vec<FileFacts>,
    /// The patches that are compiled into the target's kernel, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<PatchRecord>,
}

/// What a source of a kind is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The kind, as in the config.
    pub kind: String,
    /// The version of the kernel.
    pub version: String,
    /// What the tag of a git repository leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitRecord>,
    /// Of what lies in the cache: a digest of how it gets there again. It is no part of what the source
    /// is, only of what leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Sha256Digest>,
}

/// A file with its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Where it lies.
    pub path: Utf8PathBuf,
    /// The digest of it.
    pub digest: Sha256Digest,
}

impl FileFacts {
    /// Its name without its directory.
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap_or(self.path.as_str())
    }

    fn record(&self) -> PackageRecord {
        let version = String::new();
        PackageRecord { name: self.name().to_owned(), version, digest: self.digest }
    }
}

impl TreeFacts {
    /// A directory or tarball as it is.
    pub(crate) fn of(path: &Utf8Path, digest: Sha256Digest) -> Self {
        let (increments, baseline) = (Vec::new(), Vec::new());
        Self { path: path.to_owned(), digest, origin: None, increments, baseline }
    }

    /// The same of a source with a kind.
    #[must_use]
    pub(crate) fn with_origin(
        mut self,
        kind: &str,
        version: String,
        git: Option<GitRecord>,
    ) -> Self {
        let origin = Origin { kind: kind.to_owned(), version, git, route: None };
        self.origin = Some(Box::new(origin));
        self
    }

    /// The same of one that is fetched or prepared by this route.
    #[must_use]
    pub(super) fn with_route(mut self, route: Option<Sha256Digest>) -> Self {
        if let Some(origin) = &mut self.origin {
            origin.route = route;
        }
        self
    }

    /// How it gets into the cache again; `None` of what an administrator put on the server.
    pub(super) fn route(&self) -> Option<Sha256Digest> {
        self.origin.as_ref()?.route
    }

    /// The name of its file or directory, for people.
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap_or(self.path.as_str())
    }

    /// What decides what is made from it, as a text of a line each.
    pub fn identity(&self) -> String {
        let increments = self.increments.iter().map(|file| format!("increment {}\n", file.digest));
        let baseline = self.baseline.iter().map(|patch| format!("baseline {}\n", patch.digest));
        [format!("tree {}\n", self.digest)].into_iter().chain(increments).chain(baseline).collect()
    }

    /// The version of Linux, where the kind of the source tells it.
    pub fn version(&self) -> Option<&str> {
        Some(&self.origin.as_ref()?.version)
    }

    fn git(&self) -> Option<&GitRecord> {
        self.origin.as_ref()?.git.as_ref()
    }

    /// What it is, for people.
    pub fn summary(&self) -> String {
        let what = match self.origin.as_deref() {
            None => format!("the server's {}", self.path),
            Some(Origin { kind, version, git: None, .. }) => {
                format!("Linux {version} of the {kind} {}", self.name())
            }
            Some(Origin { version, git: Some(git), .. }) => {
                format!("Linux {version} of {}, commit {}", self.path, git.commit)
            }
        };
        match self.baseline.len() {
            0 => what,
            1 => format!("{what}, with 1 baseline patch"),
            count => format!("{what}, with {count} baseline patches"),
        }
    }

    /// The record for the manifest.
    pub fn record(&self) -> SourceRecord {
        let own = FileFacts { path: self.path.clone(), digest: self.digest }.record();
        let git = self.origin.as_ref().and_then(|origin| origin.git.clone());
        let own = git.is_none().then_some(own);
        SourceRecord {
            kind: self.origin.as_ref().map_or("tree", |origin| origin.kind.as_str()).to_owned(),
            name: String::new(),
            version: self.origin.as_ref().map_or(self.name(), |origin| &origin.version).to_owned(),
            packages: own
                .into_iter()
                .chain(self.increments.iter().map(FileFacts::record))
                .collect(),
            git,
            patches: self.baseline.clone(),
        }
    }
}

/// What was found out of a source, and by what to see that it is unchanged.
#[derive(Serialize, Deserialize)]
struct Remembered {
    fingerprint: Sha256Digest,
    digest: Sha256Digest,
}

impl SourceTree {
    /// Finds out what is in it.
    ///
    /// # Errors
    /// As [`facts_of`].
    pub(crate) fn facts(&self, cache: &Cache) -> Result<TreeFacts, Failure> {
        facts_of(&self.path, cache)
    }
}

/// Finds out what is in a directory or tarball. All of it is read when it has changed since it was
/// last read: half a second for a tarball, some ten for a directory.
///
/// # Errors
/// `source-unusable` when it is missing, cannot be read, or holds what no source tree holds.
pub(crate) fn facts_of(path: &Utf8Path, cache: &Cache) -> Result<TreeFacts, Failure> {
    let is_directory = is_directory(path)?;
    let (fingerprint, newest) = fingerprint(path, is_directory)?;
    let place = cache.sources().join(Sha256Digest::of(path.as_str().as_bytes()).short());
    let remembered = fs_err::read(&place)
        .ok()
        .and_then(|text| serde_json::from_slice::<Remembered>(&text).ok())
        .filter(|remembered| remembered.fingerprint == fingerprint);
    if let Some(Remembered { digest, .. }) = remembered {
        return Ok(TreeFacts::of(path, digest));
    }
    let now = jiff::Timestamp::now().as_second();
    let digest = if is_directory {
        directory::digest(path)?
    } else {
        // The administrator may well have put a symbolic link there, and means what it leads to.
        std::fs::File::open(path)
            .and_then(digest_open_file)
            .map_err(|error| unreadable(path, "", &error))?
    };
    if newest + SETTLED_SECONDS < now {
        let text = serde_json::to_vec(&Remembered { fingerprint, digest });
        let text = text.expect("plain data has a JSON form");
        // Only a saving of time: without it the source is read again.
        let partial = place.with_extension(format!("partial-{}", std::process::id()));
        if fs_err::write(&partial, text).is_ok() {
            let _ = fs_err::rename(&partial, &place);
        }
    }
    Ok(TreeFacts::of(path, digest))
}

impl TreeFacts {
    /// Whether all of it lies in the cache, and some was evicted from there.
    pub(super) fn is_evicted(&self, cache: &Cache) -> bool {
        let sources = cache.sources();
        let files = || std::iter::once(&self.path).chain(self.increments.iter().map(|f| &f.path));
        files().all(|path| path.starts_with(&sources)) && !files().all(|path| path.exists())
    }

    /// Keeps what of it lies in the cache from being removed while the locks live, and notes that it was
    /// used.
    ///
    /// # Errors
    /// `source-unusable` when some of it was removed from the cache; when a lock cannot be had.
    pub(crate) fn hold(
        &self,
        cache: &Cache,
        observer: &dyn Observer,
    ) -> Result<Vec<CacheLock>, Failure> {
        let sources = cache.sources();
        let files = self.increments.iter().map(|file| &file.path);
        let below = |path: &Utf8PathBuf| {
            let first = path.strip_prefix(&sources).ok()?.components().next()?;
            Some(sources.join(first.as_str()))
        };
        let entries = std::iter::once(&self.path).chain(files).filter_map(below);
        let hold = |entry: Utf8PathBuf| {
            let lock = cache.share(&entry, observer)?;
            if !entry.exists() {
                return Err(gone(&entry));
            }
            mark_used(&entry);
            Ok(lock)
        };
        entries.map(hold).collect()
    }

    /// How much disk unpacking takes at its height, in bytes, by the size of what there is.
    ///
    /// # Errors
    /// `source-unusable`.
    pub(crate) fn unpacking_bytes(&self) -> Result<u64, Failure> {
        if self.git().is_some() {
            return Ok(GIT_BYTES);
        }
        if is_directory(&self.path)? {
            return directory::bytes(&self.path);
        }
        let packed =
            fs_err::metadata(&self.path).map_err(|error| unreadable(&self.path, "", &error))?.len();
        Ok(packed.saturating_mul(unpack::growth(&self.path)))
    }

    /// Puts it into the empty directory of the tree.
    ///
    /// # Errors
    /// `source-unusable` also when it is not any more what it was.
    pub(crate) fn unpack(&self, unpacking: &Unpacking) -> Result<(), Failure> {
        if let Some(record) = self.git() {
            return git::export(&self.path, record, unpacking);
        }
        let found = if is_directory(&self.path)? {
            directory::copy(&self.path, unpacking.tree, unpacking.sandbox)?
        } else {
            unpack::unpack(self, unpacking)?
        };
        if found != self.digest {
            return Err(changed(&self.path));
        }
        self.increments.iter().try_for_each(|file| unpack::apply_increment(file, unpacking))
    }
}

/// The failure of what was fetched or prepared, and removed from the cache since.
fn gone(entry: &Utf8Path) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!(
            "{entry}, which was fetched or prepared for this kernel, was removed from the cache"
        ),
        "submit the build again: it is fetched again; nothing below the cache directory should be \
         removed by hand while the server works",
    )
}

/// The failure of a source that is not any more what it was.
pub(super) fn changed(path: &Utf8Path) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!("the source {path} changed while it was copied"),
        "leave it alone while a base is built, and submit the build again",
    )
}

fn is_directory(path: &Utf8Path) -> Result<bool, Failure> {
    let metadata = fs_err::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(
            FailureClass::SourceUnusable,
            format!("the source {path} is not there"),
            "put the source tree there, or correct the path of the [[source]] in the server's config",
        ),
        _ => unreadable(path, "", &error),
    })?;
    if metadata.is_dir() || metadata.is_file() {
        return Ok(metadata.is_dir());
    }
    Err(Failure::new(
        FailureClass::SourceUnusable,
        format!("the source {path} is neither a directory nor a file"),
        "name a kernel's source tree, or a tarball of it, in the server's config",
    ))
}

fn fingerprint(path: &Utf8Path, is_directory: bool) -> Result<(Sha256Digest, i64), Failure> {
    use std::os::unix::fs::MetadataExt;
    if is_directory {
        return directory::fingerprint(path);
    }
    let metadata = fs_err::metadata(path).map_err(|error| unreadable(path, "", &error))?;
    let text = format!(
        "{} {} {} {}.{} {}.{}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    );
    Ok((Sha256Digest::of(text.as_bytes()), metadata.ctime()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tarball_behind_a_symbolic_link_is_the_tarball() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let cache = Cache::open(&directory.join("cache")).expect("own directory");
        fs_err::write(directory.join("linux-6.12.tar"), "a tarball").expect("own file");
        let link = directory.join("current.tar");
        std::os::unix::fs::symlink("linux-6.12.tar", &link).expect("own link");
        let release: KernelRelease = "6.12.117-small".parse().expect("a release");
        let facts = SourceTree { release, path: link }.facts(&cache).expect("a source");
        assert_eq!(facts.digest, Sha256Digest::of(b"a tarball"));
    }
}
