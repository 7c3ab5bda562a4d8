use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use elivepatch_signature::TrustedKeys;
use rustix::fs::FlockOperation;
use serde::{Deserialize, de::DeserializeOwned};

use super::{State, record::VERSION};
use crate::HostProblem;

/// Where it is when nothing else is said.
const DEFAULT: &str = "/var/lib/elivepatch";

/// The file that is locked. A server on the same machine may have its records, and a lock of its own, in the same
/// directory.
const LOCK: &str = "host.lock";

/// How long another elivepatch is waited for: one that looks after the machine is done at once, one that waits for
/// a transition is not.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(50);

/// The largest record that is read, in bytes.
const RECORD_BYTES: u64 = 4 * 1024 * 1024;

/// The largest manifest, in bytes: as much as a server sends.
pub const MANIFEST_BYTES: u64 = 64 * 1024 * 1024;

/// The state directory.
#[derive(Debug, Clone)]
pub struct StateDirectory {
    path: PathBuf,
    patience: Duration,
    /// The keys that were named for manifests.
    pub(crate) keys: Option<TrustedKeys>,
}

/// The right to change what is loaded and what is written of it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateDirectory {
    /// The directory at a path, or at its usual place. It is made when something is written.
    pub fn at(path: Option<&Path>) -> Self {
        let path = path.unwrap_or(Path::new(DEFAULT)).to_owned();
        Self { path, patience: PATIENCE, keys: None }
    }

    /// The same, for who does not wait for others.
    pub fn without_patience(self) -> Self {
        Self { patience: Duration::ZERO, ..self }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, if need be, and takes the lock. Waits a little while another process has it.
    ///
    /// # Errors
    /// When another process keeps it, or it cannot be made.
    pub fn lock(&self) -> Result<Lock, HostProblem> {
        let file = self.lock_file(LOCK)?;
        let began = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < self.patience => {
                    std::thread::sleep(LOOK);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(HostProblem::Busy),
                Err(error) => return Err(self.cannot("lock", LOCK, error.into())),
            }
        }
    }

    /// Opens a file to be locked; it and the directory are made, if need be.
    pub(super) fn lock_file(&self, name: &str) -> Result<File, HostProblem> {
        make_directory(&self.path).map_err(|error| self.cannot("make", "", error))?;
        // First: whoever can write there can have it lead elsewhere.
        self.check_owner()?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(self.path.join(name)).map_err(|error| self.cannot("open", name, error))
    }

    /// Looks whether nobody else can change what is loaded from here.
    fn check_owner(&self) -> Result<(), HostProblem> {
        let there = fs::metadata(&self.path).map_err(|error| self.cannot("read", "", error))?;
        let is_own = there.uid() == rustix::process::geteuid().as_raw();
        if is_own && there.mode() & 0o022 == 0 {
            return Ok(());
        }
        Err(HostProblem::OpenState(self.path.clone()))
    }

    /// Reads the record; an empty one when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is no record that this version knows.
    pub fn read(&self) -> Result<State, HostProblem> {
        Ok(self.read_record("state.json", VERSION)?.unwrap_or_default())
    }

    /// Reads a file that says the version of its form; `None` when it is not there.
    pub(super) fn read_record<T: DeserializeOwned>(
        &self,
        name: &str,
        known: u64,
    ) -> Result<Option<T>, HostProblem> {
        let Some(text) = self.read_file(name)? else { return Ok(None) };
        #[derive(Deserialize)]
        struct Form {
            version: u64,
        }
        let broken = |error: serde_json::Error| {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            self.cannot("understand", name, error)
        };
        let Form { version } = serde_json::from_slice(&text).map_err(broken)?;
        if version > known {
            return Err(HostProblem::NewerState { path: self.path.join(name), version });
        }
        serde_json::from_slice(&text).map(Some).map_err(broken)
    }

    /// Writes the record. The lock says that nobody else does.
    ///
    /// # Errors
    /// When it cannot be written; then the one before is still there.
    pub fn write(&self, _lock: &Lock, state: &State) -> Result<(), HostProblem> {
        let mut text = serde_json::to_vec_pretty(state).expect("plain data");
        text.push(b'\n');
        self.put("state.json", &text)
    }

    /// Puts a file in its place, whole and on the disk.
    pub(super) fn put(&self, name: &str, content: &[u8]) -> Result<(), HostProblem> {
        let place = self.path.join(name);
        let parent = place.parent().unwrap_or(&self.path).to_owned();
        let write = || -> io::Result<()> {
            make_directory(&parent)?;
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&parent)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(&place).map_err(|error| error.error)?;
            File::open(&parent)?.sync_all()
        };
        write().map_err(|error| self.cannot("write", name, error))
    }

    /// Reads a file of it; `None` when it is not there.
    pub(super) fn read_file(&self, name: &str) -> Result<Option<Vec<u8>>, HostProblem> {
        self.read_at_most(name, RECORD_BYTES)
    }

    /// The same with another limit.
    pub(super) fn read_at_most(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, HostProblem> {
        let mut text = Vec::new();
        let read = File::open(self.path.join(name))
            .and_then(|file| file.take(limit + 1).read_to_end(&mut text));
        match read {
            Ok(_) if text.len() as u64 > limit => {
                Err(self.cannot("read", name, io::Error::other("it is too large to be a record")))
            }
            Ok(_) => Ok(Some(text)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.cannot("read", name, error)),
        }
    }

    pub(super) fn cannot(&self, what: &str, name: &str, error: io::Error) -> HostProblem {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        HostProblem::State {
            what: format!("cannot {what} {}", path.display()),
            source: Some(error),
        }
    }
}

/// Makes a directory that only root sees, and those above it.
fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists && fs::metadata(path)?.is_dir() =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, StateDirectory) {
        let place = tempfile::tempdir().expect("a directory");
        let state = StateDirectory::at(Some(&place.path().join("state"))).without_patience();
        (place, state)
    }

    #[test]
    fn what_is_written_is_read_and_nothing_is_left_beside_it() {
        let (_place, directory) = directory();
        assert_eq!(directory.read().expect("nothing there"), State::default());
        let lock = directory.lock().expect("it is free");
        assert!(matches!(directory.lock(), Err(HostProblem::Busy)));
        let mut state = State::default();
        state.kernels.insert("6.1 ab".to_owned(), Default::default());
        directory.write(&lock, &state).expect("written");
        assert_eq!(directory.read().expect("there"), state);
        let names: Vec<_> = fs::read_dir(directory.path())
            .expect("it is there")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        drop(lock);
        directory.lock().expect("it is free again");
    }

    #[test]
    fn record_of_a_newer_version_is_refused_and_stays() {
        let (_place, directory) = directory();
        fs::create_dir(directory.path()).expect("own directory");
        let path = directory.path().join("state.json");
        fs::write(&path, r#"{"version": 2, "kernels": [], "more": 1}"#).expect("own file");
        let problem = directory.read().expect_err("it is newer");
        assert!(matches!(problem, HostProblem::NewerState { version: 2, .. }), "{problem:?}");
        fs::write(&path, "{").expect("own file");
        let problem = directory.read().expect_err("it is half");
        assert!(problem.to_string().contains("state.json"), "{problem}");
    }
}
