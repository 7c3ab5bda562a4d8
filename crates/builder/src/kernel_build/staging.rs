//! The directory in which a kernel is built, and what makes it possible to go on with it after a
//! crash.
//!
//! make decides by times and by what it noted of each file how that was made. A compiler that was
//! killed leaves half a file with a new time: make would take it for made. So the builder notes
//! every half minute that all before is on the disk ([`Staging::sync`]), and when it goes on with a
//! build, it removes every file that was made after the last such note, and a little before.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass, Sha256Digest};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{cache::StagingDirectory, failures::io_failure, kbuild_record::record_path};

/// The file in the staging directory that says how far it got.
const STAMP: &str = "stamp.json";

/// How often what was made is put on the disk: at most this much work is done again, and the slack.
pub(super) const SYNC_INTERVAL: Duration = Duration::from_secs(30);

/// How long before the note a file that is half made may have been written last. A recipe that
/// writes a file and then goes on with it for longer notes only at its end how it was made: see
/// [`is_recorded`].
const SLACK: Duration = Duration::from_secs(20);

/// How far something is: the value by default while nothing of it is certain.
pub(crate) trait Stage:
    Copy + Debug + Default + PartialOrd + Send + Serialize + DeserializeOwned
{
}

impl<S> Stage for S where
    S: Copy + Debug + Default + PartialOrd + Send + Serialize + DeserializeOwned
{
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp<S> {
    /// What it is made from: another input, another build.
    input: Sha256Digest,
    stage: S,
    /// When the stage was complete: what is not younger is certain, for nothing was being made then.
    reached: Duration,
    /// Everything that was made before this time is on the disk.
    synced: Duration,
    /// How many objects make had to make at first; 0 before it was asked.
    objects: u64,
}

/// The staging directory of an entry of the cache. The caller holds the entry's lock.
#[derive(Debug)]
pub(crate) struct Staging<S> {
    directory: StagingDirectory,
    stamp: Stamp<S>,
}

impl<S: Stage> Staging<S> {
    /// Opens the staging directory of `entry`. What another input left there is removed; a build
    /// of the same input goes on, without what may be half made in `built_in`, a path in the
    /// directory.
    pub(crate) fn open(
        entry: &Utf8Path,
        input: Sha256Digest,
        built_in: &str,
    ) -> Result<Self, Failure> {
        let directory = StagingDirectory::of(entry);
        let stamp = fs_err::read(directory.path().join(STAMP))
            .ok()
            .and_then(|text| serde_json::from_slice::<Stamp<S>>(&text).ok())
            // A clock that was set back says nothing about what is older.
            .filter(|stamp| stamp.input == input && stamp.synced <= now())
            .filter(|stamp| stamp.stage > S::default());
        if let Some(stamp) = stamp {
            let staging = Self { directory, stamp };
            staging.remove_uncertain(built_in)?;
            return Ok(staging);
        }
        directory.make_empty()?;
        let (stage, zero) = (S::default(), Duration::ZERO);
        let stamp = Stamp { input, stage, reached: zero, synced: zero, objects: 0 };
        Ok(Self { directory, stamp })
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        self.directory.path()
    }

    pub(crate) fn stage(&self) -> S {
        self.stamp.stage
    }

    /// How many objects there are in all, when so many are left to be made.
    pub(super) fn objects_in_all(&mut self, left: u64) -> u64 {
        if left > self.stamp.objects {
            self.stamp.objects = left;
            // Without it only progress after an interruption says less.
            let _ = self.write();
        }
        self.stamp.objects
    }

    /// Notes that a stage is complete.
    pub(crate) fn reached(&mut self, stage: S) -> Result<(), Failure> {
        self.stamp.stage = stage;
        self.stamp.reached = now();
        self.sync()
    }

    /// Puts all that was made on the disk, and notes that.
    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        let began = now();
        let failed = |error: std::io::Error| failed_to("write to disk", self.path(), &error);
        let directory = File::open(self.path()).map_err(failed)?;
        rustix::fs::syncfs(&directory).map_err(|error| failed(error.into()))?;
        self.stamp.synced = began;
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let (partial, path) = (self.path().join("stamp.partial"), self.path().join(STAMP));
        let failed = |error: std::io::Error| failed_to("write", &path, &error);
        let text = serde_json::to_vec(&self.stamp).expect("plain data has a JSON form");
        let mut file = File::create(&partial).map_err(failed)?;
        std::io::Write::write_all(&mut file, &text).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs_err::rename(&partial, &path).map_err(failed)
    }

    /// Ends a build that failed: the directory is kept when the next attempt can go on with it. A
    /// full disk is cleared, and what cannot be built or is not to be built is of no use.
    pub(crate) fn give_up(self, failure: &Failure) {
        let is_of_use =
            matches!(failure.class, FailureClass::Internal | FailureClass::LimitExceeded);
        if is_of_use && self.stamp.stage > S::default() {
            self.directory.keep();
        }
    }

    /// Puts what is complete now into the place of `entry`, without the stamp.
    pub(crate) fn publish(self, entry: &Utf8Path) -> Result<(), Failure> {
        let path = self.path().join(STAMP);
        fs_err::remove_file(&path).map_err(|error| failed_to("remove", &path, &error))?;
        self.directory.publish(entry)
    }

    /// Removes what was made after the last note, for it may be half made or not on the disk.
    fn remove_uncertain(&self, built_in: &str) -> Result<(), Failure> {
        let failed = |error: io::Error| failed_to("look through", self.path(), &error);
        let reached = self.stamp.reached;
        let certain = self.stamp.synced.saturating_sub(SLACK).max(reached);
        let uncertain = uncertain(&self.path().join(built_in), reached, certain);
        for path in uncertain.map_err(failed)? {
            match fs_err::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The files that were made after `certain`; and of those that were made after `reached`, the objects
/// of which make has not noted how it made them.
///
/// The note on a file goes with it. In a layer over a base both are then the base's own again, and
/// make sees in its note that it is to be made in another way; the base's file with our note would
/// pass for ours.
fn uncertain(
    directory: &Utf8Path,
    reached: Duration,
    certain: Duration,
) -> io::Result<BTreeSet<PathBuf>> {
    let mut uncertain = BTreeSet::new();
    for entry in walkdir::WalkDir::new(directory) {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let changed = changed(&metadata);
        if metadata.is_dir() || changed <= reached {
            continue;
        }
        if changed > certain || !is_recorded(entry.path(), changed, certain) {
            uncertain.extend(record_of(entry.path()));
            uncertain.insert(entry.into_path());
        }
    }
    Ok(uncertain)
}

/// Whether make has noted how it made the file, when that is one which it makes in several steps: an
/// object or archive. It does so at the end of a recipe, which may take minutes for vmlinux.o.
fn is_recorded(path: &Path, changed_at: Duration, certain: Duration) -> bool {
    if !path.extension().is_some_and(|extension| extension == "o" || extension == "a") {
        return true;
    }
    let record = record_of(path).and_then(|record| record.symlink_metadata().ok());
    record.is_some_and(|record| (changed_at..=certain).contains(&changed(&record)))
}

/// Where Kbuild notes how it made a file.
fn record_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    Some(path.with_file_name(record_path(name)))
}

/// When a file was changed: tools set the other time as they like.
fn changed(metadata: &Metadata) -> Duration {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn failed_to(action: &str, path: &Utf8Path, error: &io::Error) -> Failure {
    io_failure(FailureClass::BaseFailed, action, path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_made_files_and_objects_without_a_note_go_with_their_notes() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let write = |name: &str| {
            // The kernel takes its times from a clock that ticks every few milliseconds.
            std::thread::sleep(Duration::from_millis(20));
            fs_err::write(directory.join(name), name).expect("own file");
            let metadata = directory.join(name).metadata().expect("own file");
            changed(&metadata)
        };
        write("source.o");
        let reached = write("older.h");
        for name in ["made.o", ".made.o.cmd", ".changed.a.cmd", "changed.a", "unnoted.o"] {
            write(name);
        }
        write("noted-too-late.o");
        let certain = write("generated.h");
        for name in [".noted-too-late.o.cmd", "late.o", ".late.o.cmd", "late.h"] {
            write(name);
        }
        let uncertain = uncertain(directory, reached, certain).expect("own directory");
        let names = uncertain.iter().filter_map(|path| path.file_name()?.to_str());
        // Notes on headers, and on notes, are not there: they are named in case.
        let there = names.filter(|name| directory.join(name).exists());
        assert_eq!(
            there.collect::<Vec<_>>(),
            [
                ".changed.a.cmd",
                ".late.o.cmd",
                ".noted-too-late.o.cmd",
                "changed.a",
                "late.h",
                "late.o",
                "noted-too-late.o",
                "unnoted.o"
            ]
        );
    }
}
