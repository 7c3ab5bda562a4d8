//! The cache directory: packages, toolchain roots and bases. All of it can be made again.
//!
//! Everything is made in a staging directory beside its place and renamed when it is complete, so
//! that what exists is whole. A lock file beside each entry keeps two servers (or a demo and a
//! test) that share the cache from making the same entry twice, or removing one in use.

mod lock_file;

use std::{
    fs::{File, TryLockError},
    io,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, Failure, FailureClass, StepName};
use serde::Serialize;

use crate::{
    Observer,
    failures::{cancelled, io_failure},
    remove_work_directory,
};
pub(crate) use lock_file::open_shared;
use lock_file::{give_new_directory, open_existing};

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

/// What the cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// apt's state for one set of mirrors and suites: the archive's signed indexes.
    AptIndex,
    /// A base.
    Base,
    /// A Debian package.
    Package,
    /// A source, or what was found out of one.
    Source,
    /// A toolchain root.
    ToolchainRoot,
}

impl EntryKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 5] =
        [Self::AptIndex, Self::Base, Self::Package, Self::Source, Self::ToolchainRoot];
}

impl std::fmt::Display for EntryKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::AptIndex => "apt index",
            Self::Base => "base",
            Self::Package => "package",
            Self::Source => "source",
            Self::ToolchainRoot => "toolchain root",
        })
    }
}

impl Cache {
    /// Opens the cache, making its directories where they are missing.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(directory: &Utf8Path) -> Result<Self, Failure> {
        let cache = Self { directory: directory.to_owned() };
        let failed = |part: &Utf8Path, error: io::Error| {
            io_failure(FailureClass::Internal, "make", part, &error)
        };
        fs_err::create_dir_all(directory).map_err(|error| failed(directory, error))?;
        for part in
            [cache.apt(), cache.packages(), cache.toolchain_roots(), cache.bases(), cache.sources()]
        {
            match fs_err::create_dir(&part) {
                Ok(()) => give_new_directory(&part).map_err(|error| failed(&part, error))?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&part, error)),
            }
        }
        Ok(cache)
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Utf8Path {
        &self.directory
    }

    /// apt's own state, a directory for each set of mirrors and suites: the archive's signed indexes.
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

    /// What was found out of source trees, a small file each; beside them what was fetched or prepared
    /// of sources: `tarballs/`, `git-…`, `portage-…`, each with a lock beside it.
    pub fn sources(&self) -> Utf8PathBuf {
        self.directory.join("sources")
    }

    /// Bases, a directory each.
    pub fn bases(&self) -> Utf8PathBuf {
        self.directory.join("bases")
    }

    /// The mirror of the repository of the CVE feed, which the server keeps there.
    pub fn feed_mirror(&self) -> Utf8PathBuf {
        self.directory.join(FEED_MIRROR)
    }

    /// Where the entries of a kind are.
    pub(crate) fn place_of(&self, kind: EntryKind) -> Utf8PathBuf {
        match kind {
            EntryKind::AptIndex => self.apt(),
            EntryKind::Base => self.bases(),
            EntryKind::Package => self.packages(),
            EntryKind::Source => self.sources(),
            EntryKind::ToolchainRoot => self.toolchain_roots(),
        }
    }

    /// Waits until nobody else makes or removes `entry`, and keeps others from it.
    ///
    /// # Errors
    /// When the lock file cannot be made, or the build is cancelled while waiting.
    pub fn lock(&self, entry: &Utf8Path, observer: &dyn Observer) -> Result<CacheLock, Failure> {
        self.take(entry, observer, File::try_lock)
    }

    /// Waits until nobody makes or removes `entry`; others may share it.
    ///
    /// # Errors
    /// As [`Cache::lock`].
    pub fn share(&self, entry: &Utf8Path, observer: &dyn Observer) -> Result<CacheLock, Failure> {
        self.take(entry, observer, File::try_lock_shared)
    }

    /// The lock of an entry that nobody else makes, removes or shares now; `None` otherwise.
    pub fn lock_at_once(&self, entry: &Utf8Path) -> Option<CacheLock> {
        let file = open_existing(&lock_of(entry)).ok()?;
        file.try_lock().ok()?;
        Some(CacheLock { _file: file })
    }

    /// As [`Cache::lock_at_once`], also of an entry that has no lock file yet.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn try_lock(&self, entry: &Utf8Path) -> io::Result<Option<CacheLock>> {
        let file = open_shared(&lock_of(entry))?;
        Ok(take_soon(&file)?.then_some(CacheLock { _file: file }))
    }

    /// Waits for the lock of an entry that is held for short times only.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub(crate) fn wait_for(&self, entry: &Utf8Path) -> io::Result<CacheLock> {
        let file = open_shared(&lock_of(entry))?;
        file.lock()?;
        Ok(CacheLock { _file: file })
    }

    /// Whether somebody makes, removes or shares an entry now.
    pub(crate) fn is_in_use(&self, entry: &Utf8Path) -> bool {
        // A lock that succeeds ends at once; who asks in this instant asks again.
        let Ok(file) = File::open(lock_of(entry)) else { return false };
        matches!(take_soon(&file), Ok(false))
    }

    /// Takes a lock, and says in the log what is waited for when that takes long.
    fn take(
        &self,
        entry: &Utf8Path,
        observer: &dyn Observer,
        try_lock: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<CacheLock, Failure> {
        let path = lock_of(entry);
        let failed = |error| io_failure(FailureClass::Internal, "lock", &path, &error);
        let file = open_shared(&path).map_err(failed)?;
        let (began, mut is_told) = (Instant::now(), false);
        loop {
            match try_lock(&file) {
                Ok(()) => return Ok(CacheLock { _file: file }),
                Err(TryLockError::WouldBlock) if observer.is_cancelled() => {
                    return Err(cancelled());
                }
                Err(TryLockError::WouldBlock) => {
                    if !is_told && began.elapsed() >= SILENT_WAIT {
                        observer.event(self.waiting_for(entry));
                        is_told = true;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    fn waiting_for(&self, entry: &Utf8Path) -> BuildEvent {
        let step = if entry.starts_with(self.bases()) {
            StepName::Base
        } else if entry.starts_with(self.toolchain_roots()) {
            StepName::Toolchain
        } else {
            StepName::Source
        };
        let name = entry.strip_prefix(&self.directory).unwrap_or(entry);
        let line = format!("waiting for {name} of the cache: another build or command has it");
        BuildEvent::Log { step, line }
    }
}

/// How long a lock is waited for without a word: a second build that needs the same is soon served, or waits
/// for as long as a kernel is built.
const SILENT_WAIT: Duration = Duration::from_secs(1);

/// How long a lock is tried that may be held for an instant: by who looks whether it is held, or by
/// a program of this process that is just being started and has its files for as long.
const INSTANT: Duration = Duration::from_millis(250);

/// Takes a lock, unless it is held for longer than an instant; says whether it did.
fn take_soon(file: &File) -> io::Result<bool> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if began.elapsed() >= INSTANT => return Ok(false),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// The name of the mirror of the CVE feed.
pub const FEED_MIRROR: &str = "feed.git";

/// The name beside an entry for what is being made, before it gets the entry's own.
pub(crate) const PARTIAL: &str = ".partial";

/// The name beside an entry for what was taken away from there and is being deleted.
pub(crate) const REMOVED: &str = ".removed";

/// Takes an entry away in one go and then deletes it: who looks for it finds it whole or not at all,
/// also when this is interrupted. What an interruption leaves is removed by the next one, and by
/// `gc`. The caller holds the entry's lock alone.
pub(crate) fn remove_entry(entry: &Utf8Path) -> io::Result<()> {
    let away: Utf8PathBuf = format!("{entry}{REMOVED}").into();
    remove_anything(&away)?;
    match fs_err::rename(entry, &away) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    remove_anything(&away)
}

/// Removes a file, or a directory with all that is in it; what is not there is fine.
pub(crate) fn remove_anything(path: &Utf8Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_dir() => remove_work_directory(path),
        Ok(_) => fs_err::remove_file(path),
    }
}

fn lock_of(entry: &Utf8Path) -> Utf8PathBuf {
    format!("{entry}.lock").into()
}

/// The directory in which an entry is made. It is removed with the value unless it is published or
/// kept: what came of a failed attempt is of no use, and on a full disk it is in the way. The caller
/// holds the entry's lock, so nobody else works in it.
#[derive(Debug)]
pub(crate) struct StagingDirectory {
    path: Utf8PathBuf,
    is_kept: bool,
}

impl StagingDirectory {
    /// The staging directory of `entry`, with what an earlier attempt left there.
    pub(crate) fn of(entry: &Utf8Path) -> Self {
        Self { path: format!("{entry}{PARTIAL}").into(), is_kept: false }
    }

    /// An empty one.
    pub(crate) fn empty(entry: &Utf8Path) -> Result<Self, Failure> {
        let staging = Self::of(entry);
        staging.make_empty()?;
        Ok(staging)
    }

    /// Removes what an interrupted attempt left there.
    pub(crate) fn make_empty(&self) -> Result<(), Failure> {
        let failed = |error| io_failure(FailureClass::Internal, "empty", &self.path, &error);
        remove_work_directory(&self.path).map_err(failed)?;
        fs_err::create_dir_all(&self.path).map_err(failed)
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Leaves it for the next attempt to go on with.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }

    /// Puts it into the place of `entry`, for it is complete now; what is there is damaged, or of
    /// another input. Its files reach the disk first: after a power cut a directory with its final
    /// name is whole.
    pub(crate) fn publish(mut self, entry: &Utf8Path) -> Result<(), Failure> {
        let failed =
            |error: std::io::Error| io_failure(FailureClass::Internal, "complete", entry, &error);
        remove_work_directory(entry).map_err(failed)?;
        let directory = fs_err::File::open(&self.path).map_err(failed)?;
        rustix::fs::syncfs(&directory).map_err(|error| failed(error.into()))?;
        fs_err::rename(&self.path, entry).map_err(failed)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for StagingDirectory {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // The failure that led here is what is told; the next attempt removes it as well.
        if let Err(error) = remove_work_directory(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps the lines of the log, and gives up after some.
    struct Log(Mutex<Vec<String>>);

    impl Observer for Log {
        fn event(&self, event: BuildEvent) {
            if let BuildEvent::Log { step, line } = event {
                self.0.lock().expect("no panic holds it").push(format!("{step}: {line}"));
            }
        }

        fn is_cancelled(&self) -> bool {
            !self.0.lock().expect("no panic holds it").is_empty()
        }
    }

    #[test]
    fn what_is_waited_for_is_told_once_it_takes_long() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8").join("cache");
        let cache = Cache::open(&directory).expect("own directory");
        for (entry, told) in [
            (cache.bases().join("6.1-x"), "base: waiting for bases/6.1-x of the cache: "),
            (cache.sources().join("git-x"), "source: waiting for sources/git-x of the cache: "),
        ] {
            let log = Log(Mutex::default());
            drop(cache.lock(&entry, &log).expect("nobody has it"));
            assert!(!log.is_cancelled(), "there was nothing to wait for");
            let held = cache.share(&entry, &log).expect("nobody has it");
            let began = Instant::now();
            cache.lock(&entry, &log).expect_err("given up when it was told");
            assert!(began.elapsed() >= SILENT_WAIT);
            let lines = log.0.lock().expect("no panic holds it");
            assert!(lines.len() == 1 && lines[0].starts_with(told), "{lines:?}");
            drop(held);
        }
    }

    #[test]
    fn only_what_is_published_or_kept_outlives_the_attempt() {
        let temporary = tempfile::tempdir().expect("a directory");
        let entry = Utf8Path::from_path(temporary.path()).expect("UTF-8").join("entry");
        let begin = || {
            let staging = StagingDirectory::empty(&entry).expect("own directory");
            assert_eq!(fs_err::read_dir(staging.path()).expect("own directory").count(), 0);
            fs_err::write(staging.path().join("file"), "content").expect("own file");
            staging
        };
        let partial = begin().path().to_owned();
        assert!(!partial.exists(), "given up");
        begin().keep();
        assert!(partial.join("file").exists(), "kept");
        // Once more, over a damaged one with the same name.
        fs_err::create_dir(&entry).expect("own directory");
        begin().publish(&entry).expect("own directory");
        assert!(!partial.exists());
        assert_eq!(fs_err::read_to_string(entry.join("file")).expect("own file"), "content");
    }
}
