//! The cache directory: packages, toolchain roots and bases. All of it can be made again.
//!
//! Everything is made in a staging directory beside its place and renamed when it is complete, so
//! that what exists is whole. A lock file beside each entry keeps two servers (or a demo and a
//! test) that share the cache from making the same entry twice, or removing one in use.

use std::fs::{File, TryLockError};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass};

use crate::{
    Observer,
    failures::{cancelled, io_failure},
};

/// The cache directory.
#[derive(Debug, Clone)]
pub struct Cache {
    directory: Utf8PathBuf,
}

/// A held lock; it ends with the value, or with the process.
#[derive(Debug)]
pub struct CacheLock {
    _file: File,
}

impl Cache {
    /// Opens the cache, making its directories where they are missing.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(directory: &Utf8Path) -> Result<Self, Failure> {
        let cache = Self { directory: directory.to_owned() };
        for part in
            [cache.apt(), cache.packages(), cache.toolchain_roots(), cache.bases(), cache.sources()]
        {
            fs_err::create_dir_all(&part)
                .map_err(|error| io_failure(FailureClass::Internal, "make", &part, &error))?;
        }
        Ok(cache)
    }

    /// apt's own state: the archive's signed indexes, partial downloads.
    pub fn apt(&self) -> Utf8PathBuf {
        self.directory.join("apt")
    }

    /// Debian packages.
    pub fn packages(&self) -> Utf8PathBuf {
        self.directory.join("packages")
    }

    /// Toolchain roots, a directory each.
    pub fn toolchain_roots(&self) -> Utf8PathBuf {
        self.directory.join("toolchain-roots")
    }

    /// What was found out of source trees, a small file each.
    pub fn sources(&self) -> Utf8PathBuf {
        self.directory.join("sources")
    }

    /// Bases, a directory each.
    pub fn bases(&self) -> Utf8PathBuf {
        self.directory.join("bases")
    }

    /// Waits until nobody else makes or removes `entry`, and keeps others from it.
    ///
    /// # Errors
    /// When the lock file cannot be made, or the build is cancelled while waiting.
    pub fn lock(&self, entry: &Utf8Path, observer: &dyn Observer) -> Result<CacheLock, Failure> {
        Self::take(entry, observer, File::try_lock)
    }

    /// Waits until nobody makes or removes `entry`; others may share it.
    ///
    /// # Errors
    /// As [`Cache::lock`].
    pub fn share(&self, entry: &Utf8Path, observer: &dyn Observer) -> Result<CacheLock, Failure> {
        Self::take(entry, observer, File::try_lock_shared)
    }

    fn take(
        entry: &Utf8Path,
        observer: &dyn Observer,
        try_lock: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<CacheLock, Failure> {
        let path = Utf8PathBuf::from(format!("{entry}.lock"));
        let failed = |error| io_failure(FailureClass::Internal, "lock", &path, &error);
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        loop {
            match try_lock(&file) {
                Ok(()) => return Ok(CacheLock { _file: file }),
                Err(TryLockError::WouldBlock) if observer.is_cancelled() => {
                    return Err(cancelled());
                }
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}

/// Makes an empty staging directory for `entry`. What an interrupted run left there is removed:
/// the caller holds the lock, so nobody else works in it.
pub(crate) fn empty_staging(entry: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    let staging = Utf8PathBuf::from(format!("{entry}.partial"));
    let failed = |error| io_failure(FailureClass::Internal, "empty", &staging, &error);
    match fs_err::remove_dir_all(&staging) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    fs_err::create_dir_all(&staging).map_err(failed)?;
    Ok(staging)
}

/// Puts a complete staging directory into its place. Its files reach the disk first: after a power
/// cut a directory with its final name is whole.
pub(crate) fn publish(staging: &Utf8Path, entry: &Utf8Path) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| io_failure(FailureClass::Internal, "complete", entry, &error);
    let directory = fs_err::File::open(staging).map_err(failed)?;
    rustix::fs::syncfs(&directory).map_err(|error| failed(error.into()))?;
    fs_err::rename(staging, entry).map_err(failed)
}
