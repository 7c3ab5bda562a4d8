//! Source trees that an administrator put on the server: which one serves a target, what is in it,
//! and how it gets into a base.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{
    Failure, FailureClass, KernelRelease, PackageRecord, Sha256Digest, SourceRecord,
};
use serde::{Deserialize, Serialize};

use super::{directory, unpack, walk::unreadable};
use crate::{Cache, Observer, digest_file::digest_open_file, sandbox::Sandbox};

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

/// What is known of a source tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeFacts {
    /// Where it lies.
    pub path: Utf8PathBuf,
    /// The digest of the tarball, or of all that is in the directory.
    pub digest: Sha256Digest,
}

impl TreeFacts {
    /// The name of its file or directory, for people.
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap_or(self.path.as_str())
    }

    /// The record for the manifest.
    pub fn record(&self) -> SourceRecord {
        SourceRecord {
            kind: "tree".to_owned(),
            version: self.name().to_owned(),
            packages: vec![PackageRecord {
                name: self.name().to_owned(),
                version: String::new(),
                digest: self.digest,
            }],
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
    /// Finds out what is in it. All of it is read when it has changed since it was last read: half
    /// a second for a tarball, some ten for a directory.
    ///
    /// # Errors
    /// `source-unusable` when it is missing, cannot be read, or holds what no source tree holds.
    pub(crate) fn facts(&self, cache: &Cache) -> Result<TreeFacts, Failure> {
        let is_directory = is_directory(&self.path)?;
        let (fingerprint, newest) = fingerprint(&self.path, is_directory)?;
        let path = self.path.clone();
        let place = cache.sources().join(Sha256Digest::of(self.path.as_str().as_bytes()).short());
        let remembered = fs_err::read(&place)
            .ok()
            .and_then(|text| serde_json::from_slice::<Remembered>(&text).ok())
            .filter(|remembered| remembered.fingerprint == fingerprint);
        if let Some(Remembered { digest, .. }) = remembered {
            return Ok(TreeFacts { path, digest });
        }
        let now = jiff::Timestamp::now().as_second();
        let digest = if is_directory {
            directory::digest(&self.path)?
        } else {
            // The administrator may well have put a symbolic link there, and means what it leads to.
            std::fs::File::open(&self.path)
                .and_then(digest_open_file)
                .map_err(|error| unreadable(&self.path, "", &error))?
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
        Ok(TreeFacts { path, digest })
    }
}

impl TreeFacts {
    /// How much disk unpacking takes at its height, in bytes, by the size of what there is.
    ///
    /// # Errors
    /// `source-unusable`.
    pub(crate) fn unpacking_bytes(&self) -> Result<u64, Failure> {
        if is_directory(&self.path)? {
            return directory::bytes(&self.path);
        }
        let packed =
            fs_err::metadata(&self.path).map_err(|error| unreadable(&self.path, "", &error))?.len();
        Ok(packed.saturating_mul(unpack::growth(&self.path)))
    }

    /// Puts it into the empty directory `tree`, which belongs to the sandbox's user.
    ///
    /// # Errors
    /// `source-unusable` also when it is not any more what it was.
    pub(crate) fn unpack(
        &self,
        tree: &Utf8Path,
        scratch: &Utf8Path,
        toolchain_root: &Utf8Path,
        sandbox: &Sandbox,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        let found = if is_directory(&self.path)? {
            directory::copy(&self.path, tree, sandbox)?
        } else {
            unpack::unpack(self, tree, scratch, toolchain_root, sandbox, observer)?
        };
        if found == self.digest {
            return Ok(());
        }
        Err(Failure::new(
            FailureClass::SourceUnusable,
            format!("the source {} changed while it was copied", self.path),
            "leave it alone while a base is built, and submit the build again",
        ))
    }
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
