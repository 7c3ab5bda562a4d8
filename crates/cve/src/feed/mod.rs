//! The feed as it lies in a directory, a tarball or a git repository: which file is what, and what is in
//! all of them together.

mod directory;
mod git;
mod parsers;
mod path;
mod snapshot;
mod tarball;

pub use git::{Extent, FeedMirror, GitError};
pub use path::{FeedFile, Folder, Part};
pub use snapshot::{Entry, Fault, Snapshot, SnapshotBuilder};

use std::{io, path::PathBuf};

/// The largest file that is read, in bytes: the longest record has 0.2 MB.
pub const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Why a feed cannot be read. Files in it that cannot be read are no error: they are [`Fault`]s.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The directory or file cannot be read.
    #[error("cannot read the feed {path}")]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Nothing in it is a record.
    #[error("there is no CVE record in {path}")]
    Empty {
        /// Where it is.
        path: PathBuf,
    },
}

/// Reads a feed from a directory, or from a tarball (plain, or compressed with zstd, xz or gzip by the
/// field's own tools before).
///
/// # Errors
/// When it cannot be read, or has no record.
pub fn read(path: &std::path::Path) -> Result<Snapshot, FeedError> {
    let failed = |source| FeedError::Io { path: path.to_owned(), source };
    let read = |sink: &parsers::Sink| match path.is_dir() {
        true => directory::read(path, sink),
        false => tarball::read(path, sink),
    };
    let snapshot = parsers::snapshot_of(read).map_err(failed)?;
    if snapshot.entries.is_empty() {
        return Err(FeedError::Empty { path: path.to_owned() });
    }
    Ok(snapshot)
}
