//! The feed as it lies in a directory, a tarball or a git repository: which file is what, and what is in
//! all of them together.

mod carried;
mod directory;
mod entries;
mod git;
mod parsers;
mod path;
mod snapshot;
mod source;
mod spool;
mod tarball;
mod waiting;

pub use entries::{Entries, Entry, Listed};
pub use git::{Extent, FeedMirror, GitError};
pub use parsers::LimitError;
pub use path::{FeedFile, Folder, Part};
pub use snapshot::{Fault, PARSER, Snapshot, SnapshotBuilder};
pub use source::shown_source;
pub use spool::SpoolError;

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
    /// What was read cannot be kept until it is needed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Nothing in it is a record.
    #[error("there is no CVE record in {path}")]
    Empty {
        /// Where it is.
        path: PathBuf,
    },
}

/// Reads a feed from a directory, or from a tarball (plain, or compressed with zstd or gzip).
///
/// # Errors
/// When it cannot be read, or has no record.
pub fn read(path: &std::path::Path) -> Result<Snapshot, FeedError> {
    let failed = |source| FeedError::Io { path: path.to_owned(), source };
    let read = |sink: &parsers::Sink| match path.is_dir() {
        true => directory::read(path, sink),
        false => tarball::read(path, sink),
    };
    let snapshot = parsers::snapshot_of(read).map_err(failed)??;
    if snapshot.entries.is_empty() {
        return Err(FeedError::Empty { path: path.to_owned() });
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn age_is_that_of_the_newest_record() {
        let place = tempfile::tempdir().expect("a directory");
        let published = place.path().join("feed/published/2026");
        fs::create_dir_all(&published).expect("own directory");
        for (name, seconds) in
            [("CVE-2026-1001.json", 1000), ("CVE-2026-1001.dyad", 2000), ("README", 9000)]
        {
            let text = match name {
                "CVE-2026-1001.json" => {
                    r#"{"containers": {"cna": {}}, "cveMetadata": {"cveId": "CVE-2026-1001"}}"#
                }
                _ => "",
            };
            fs::write(published.join(name), text).expect("own file");
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let file = fs::File::options().append(true).open(published.join(name));
            file.and_then(|file| file.set_modified(time)).expect("own file");
        }
        let feed = place.path().join("feed");
        assert_eq!(read(&feed).expect("a feed").newest, Some(2000));
        let tarball = place.path().join("feed.tar");
        let mut archive = tar::Builder::new(fs::File::create(&tarball).expect("own file"));
        archive.append_dir_all(".", &feed).expect("own directory");
        archive.into_inner().expect("it is written");
        assert_eq!(read(&tarball).expect("a feed").newest, Some(2000));
    }
}
