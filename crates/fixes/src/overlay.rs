//! A livepatch-overlay: a directory with patches and `elivepatch.yml`, which says for which kernels and CVEs
//! they are.

mod file;

use std::{
    os::unix::fs::MetadataExt as _,
    sync::{Arc, Mutex},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_cve::{CveId, LinuxVersion};
use elivepatch_model::limits;

use crate::{CommitHash, FixSourceError, regular_file, text};
use file::{Index, Place};

/// The name of the list in the directory.
const INDEX: &str = "elivepatch.yml";

/// The longest list that is read, in bytes: 200 bytes for a patch, for tens of thousands of them.
const INDEX_BYTES: u64 = 8 * 1024 * 1024;

/// What an overlay has for a CVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlayFix {
    /// A patch of its own.
    Patch {
        /// The patch.
        text: Vec<u8>,
        /// Its file, within the overlay.
        path: Utf8PathBuf,
    },
    /// A commit, whose patch another source may have.
    Commit(CommitHash),
}

/// Something in the list that cannot be used. The rest is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{INDEX}, line {line}: {what}")]
pub struct OverlayFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// An overlay, with its list as it was read last.
#[derive(Debug)]
pub(crate) struct Overlay {
    directory: Utf8PathBuf,
    read: Mutex<Option<(Stamp, Arc<Index>)>>,
}

/// By what a changed list is seen: inode, size, and the time of its last change in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

impl Overlay {
    pub(crate) fn new(directory: Utf8PathBuf) -> Self {
        Self { directory, read: Mutex::default() }
    }

    /// What it has for a CVE in a version.
    pub(crate) fn fix(
        &self,
        id: CveId,
        version: LinuxVersion,
    ) -> Result<Option<OverlayFix>, FixSourceError> {
        let index = self.index()?;
        let Some(place) = index.place(id, version) else { return Ok(None) };
        let path = match place {
            Place::Commit(commit) => return Ok(Some(OverlayFix::Commit(commit.clone()))),
            Place::File(path) => path,
        };
        let found = regular_file::read(&self.directory, path, limits::PATCH_BYTES)?;
        let text = found.ok_or_else(|| FixSourceError::Unreadable {
            path: self.directory.join(path),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        text::check(&text, None)?;
        Ok(Some(OverlayFix::Patch { text, path: path.to_owned() }))
    }

    /// What of its list cannot be used.
    pub(crate) fn faults(&self) -> Result<Vec<OverlayFault>, FixSourceError> {
        Ok(self.index()?.faults.clone())
    }

    fn index(&self) -> Result<Arc<Index>, FixSourceError> {
        let path = self.directory.join(INDEX);
        let unreadable = |source| FixSourceError::Unreadable { path: path.clone(), source };
        let found = path.symlink_metadata().map_err(unreadable)?;
        let stamp = (found.ino(), found.size(), found.ctime(), found.ctime_nsec());
        let mut kept = self.read.lock().expect("no holder of the lock panics");
        if let Some((of, index)) = &*kept
            && *of == stamp
        {
            return Ok(Arc::clone(index));
        }
        let bytes = regular_file::read(&self.directory, Utf8Path::new(INDEX), INDEX_BYTES)?;
        let bytes = bytes.ok_or_else(|| unreadable(std::io::ErrorKind::NotFound.into()))?;
        let index = Arc::new(Index::read(&String::from_utf8_lossy(&bytes)));
        *kept = Some((stamp, Arc::clone(&index)));
        Ok(index)
    }
}
