use std::fs::{File, TryLockError};

use camino::{Utf8Path, Utf8PathBuf};

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// It does not exist, or this user may not write in it.
    #[error("cannot write in the data directory {path}")]
    Unusable {
        /// The directory.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another server runs on it.
    #[error("another elivepatch-server is running on the data directory {path}")]
    InUse {
        /// The directory.
        path: Utf8PathBuf,
    },
}

/// Held while a server or a worker runs on a data directory. A second server would take the first one's builds for those
/// of a dead worker. The system lets go of it when the process ends in any way.
#[derive(Debug)]
pub struct DataDirectoryLock {
    _file: File,
}

impl DataDirectoryLock {
    /// Locks a directory, which must exist.
    ///
    /// # Errors
    /// When it is locked already, or cannot be written in.
    pub fn take(directory: &Utf8Path) -> Result<Self, DataDirectoryError> {
        let unusable = |source| DataDirectoryError::Unusable { path: directory.to_owned(), source };
        let file = File::create(directory.join("lock")).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(DataDirectoryError::InUse { path: directory.to_owned() })
            }
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }
}
