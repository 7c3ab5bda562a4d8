//! The directory in which a base is built, and what makes it possible to go on with it after a
//! crash.
//!
//! make decides by times and by what it noted of each file how that was made. A compiler that was
//! killed leaves half a file with a new time: make would take it for made. So the builder notes
//! every half minute that all before is on the disk ([`Staging::sync`]), and when it goes on with a
//! build, it removes every file that was made after the last such note, and a little before.

use std::{
    fs::File,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, Sha256Digest};
use serde::{Deserialize, Serialize};

use super::super::facts::base_io;
use crate::{cache::empty_staging, sandbox::Sandbox};

/// The file in the staging directory that says how far it got.
const STAMP: &str = "stamp.json";

/// How often what was made is put on the disk: at most this much work is done again, and the slack.
pub(super) const SYNC_INTERVAL: Duration = Duration::from_secs(30);

/// How long before the note a file that is half made may have been written last. A recipe that
/// writes a file and then goes on with it for longer notes only at its end how it was made, and
/// make does it again without such a note.
const SLACK: Duration = Duration::from_secs(20);

/// How far a base is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// Nothing is certain.
    Empty,
    /// The source is complete.
    Unpacked,
    /// The config is in the tree and checked; compilers have begun.
    Configured,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    /// What the base is made from: another input, another base.
    input: Sha256Digest,
    stage: Stage,
    /// When the stage was complete: what is not younger is certain, for nothing was being made then.
    reached: Duration,
    /// Everything that was made before this time is on the disk.
    synced: Duration,
    /// How many objects make had to make at first; 0 before it was asked.
    objects: u64,
}

/// The staging directory of a base. The caller holds the base's lock.
#[derive(Debug)]
pub(super) struct Staging {
    path: Utf8PathBuf,
    stamp: Stamp,
}

impl Staging {
    /// Opens the staging directory of `place`. What another input left there is removed; a build
    /// of the same input goes on, without what may be half made.
    pub(super) fn open(
        place: &Utf8Path,
        input: Sha256Digest,
        sandbox: &Sandbox,
    ) -> Result<Self, Failure> {
        let path = Utf8PathBuf::from(format!("{place}.partial"));
        let stamp = fs_err::read(path.join(STAMP))
            .ok()
            .and_then(|text| serde_json::from_slice::<Stamp>(&text).ok())
            // A clock that was set back says nothing about what is older.
            .filter(|stamp| stamp.input == input && stamp.synced <= now())
            .filter(|stamp| stamp.stage > Stage::Empty);
        if let Some(stamp) = stamp {
            let staging = Self { path, stamp };
            staging.remove_uncertain()?;
            // The last thing before a base is whole is that these go.
            staging.make_directories(sandbox)?;
            return Ok(staging);
        }
        let path = empty_staging(place)?;
        let zero = Duration::ZERO;
        let stamp = Stamp { input, stage: Stage::Empty, reached: zero, synced: zero, objects: 0 };
        let staging = Self { path, stamp };
        sandbox.make_directory(&staging.tree())?;
        staging.make_directories(sandbox)?;
        Ok(staging)
    }

    /// Makes what is only for the time of the build, where it is not there.
    fn make_directories(&self, sandbox: &Sandbox) -> Result<(), Failure> {
        sandbox.make_directory(&self.scratch())?;
        let inputs = self.inputs();
        fs_err::create_dir_all(&inputs).map_err(|error| base_io("make", &inputs, &error))
    }

    /// Removes it, for a base has none of it.
    pub(super) fn remove_directories(&self) -> Result<(), Failure> {
        for directory in [self.scratch(), self.inputs()] {
            fs_err::remove_dir_all(&directory)
                .map_err(|error| base_io("remove", &directory, &error))?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The source tree in which the kernel is built.
    pub(super) fn tree(&self) -> Utf8PathBuf {
        self.path.join("tree")
    }

    /// A directory for what tools need for a while.
    pub(super) fn scratch(&self) -> Utf8PathBuf {
        self.path.join("scratch")
    }

    /// Gives a file to tools, which see it in a directory that they can only read. Never into a
    /// directory that tools can write: they may have put a symbolic link there.
    pub(super) fn write_input(&self, name: &str, content: &[u8]) -> Result<Utf8PathBuf, Failure> {
        let directory = self.inputs();
        let path = directory.join(name);
        fs_err::write(&path, content).map_err(|error| base_io("write", &path, &error))?;
        Ok(directory)
    }

    /// Where [`Staging::write_input`] puts files.
    fn inputs(&self) -> Utf8PathBuf {
        self.path.join("inputs")
    }

    pub(super) fn stage(&self) -> Stage {
        self.stamp.stage
    }

    /// How many objects there are in all, when so many are left to be made.
    pub(super) fn objects_in_all(&mut self, left: u64) -> u64 {
        self.stamp.objects = self.stamp.objects.max(left);
        self.stamp.objects
    }

    /// Notes that a stage is complete.
    pub(super) fn reached(&mut self, stage: Stage) -> Result<(), Failure> {
        self.stamp.stage = stage;
        self.stamp.reached = now();
        self.sync()
    }

    /// Puts all that was made on the disk, and notes that.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        let began = now();
        let failed = |error: std::io::Error| base_io("write to disk", &self.path, &error);
        let directory = File::open(&self.path).map_err(failed)?;
        rustix::fs::syncfs(&directory).map_err(|error| failed(error.into()))?;
        self.stamp.synced = began;
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let (partial, path) = (self.path.join("stamp.partial"), self.path.join(STAMP));
        let failed = |error: std::io::Error| base_io("write", &path, &error);
        let text = serde_json::to_vec(&self.stamp).expect("plain data has a JSON form");
        let mut file = File::create(&partial).map_err(failed)?;
        std::io::Write::write_all(&mut file, &text).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs_err::rename(&partial, &path).map_err(failed)
    }

    /// Removes the stamp before the directory gets its final name.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        let path = self.path.join(STAMP);
        fs_err::remove_file(&path).map_err(|error| base_io("remove", &path, &error))
    }

    /// Removes all of it: it cannot become a base.
    pub(super) fn discard(self) {
        // What cannot be removed now is removed when the base is built the next time.
        let _ = crate::remove_work_directory(&self.path);
    }

    /// Removes what was made after the last note: it may be half made, or not on the disk.
    fn remove_uncertain(&self) -> Result<(), Failure> {
        let certain = self.stamp.synced.saturating_sub(SLACK).max(self.stamp.reached);
        for entry in walkdir::WalkDir::new(self.tree()) {
            let failed = |error: std::io::Error| base_io("look through", &self.path, &error);
            let entry = entry.map_err(|error| failed(error.into()))?;
            let metadata = entry.metadata().map_err(|error| failed(error.into()))?;
            if metadata.is_dir() {
                continue;
            }
            // The change time: tools set the other one as they like.
            let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
            let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
            if Duration::new(seconds, nanoseconds) > certain {
                fs_err::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
