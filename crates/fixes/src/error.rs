use std::io;

use camino::Utf8PathBuf;

use crate::CommitHash;

/// Why a source gave no patch. The text completes "SOURCE: …".
#[derive(Debug, thiserror::Error)]
pub enum FixSourceError {
    /// The source works, and has no such commit.
    #[error("it does not have this commit")]
    Absent,
    /// The commit joins branches, so that it has no one patch.
    #[error("the commit is a merge, which has no patch of its own")]
    Merge,
    /// What is there changes no file: an empty commit, or a web page.
    #[error("what it has holds no change of any file")]
    NoChange,
    /// The text says of itself that it is another commit's.
    #[error("what it has is the patch of another commit, {0}")]
    OtherCommit(CommitHash),
    /// The patch is larger than any fix.
    #[error("what it has is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// A link, a pipe or a directory lies where a file should.
    #[error("{path} is {what} and not a regular file")]
    NotAFile {
        /// The file.
        path: Utf8PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A path would lead out of the source.
    #[error("{0:?} is not a path within it")]
    Outside(String),
    /// A file or directory of the source cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file or directory.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The path of a clone leads to none.
    #[error("{0} is not a clone: it has neither .git/objects nor objects in it")]
    NotAClone(Utf8PathBuf),
    /// Git cannot be run, or its directory not be made.
    #[error("git cannot be run")]
    GitRun(#[source] io::Error),
    /// Git failed: the clone is damaged or not whole.
    #[error("git says: {0}")]
    Git(String),
    /// Git was ended, because it took too long.
    #[error("git took longer than {seconds} s")]
    GitSlow {
        /// The limit.
        seconds: u64,
    },
    /// The server cannot be reached, is too slow, or says that it cannot answer now, time and again.
    #[error("it did not answer {attempts} times: {last}")]
    Unreachable {
        /// How often it was asked.
        attempts: u32,
        /// What happened the last time.
        last: String,
    },
    /// The server did not answer lately, and was not asked again yet.
    #[error("it did not answer lately and is left alone for {seconds} s more: {last}")]
    Resting {
        /// How long it is left alone.
        seconds: u64,
        /// What happened the last time.
        last: String,
    },
    /// The machine lacks what encrypted connections need, such as its list of certificates.
    #[error("encrypted connections cannot be made here: {0}")]
    Tls(String),
    /// The server answered with a status that will not change by asking again.
    #[error("it answered with the status {0}")]
    Status(u16),
    /// The server leads to an address that is not gone to.
    #[error("it leads to {to:?}, {why}")]
    Redirect {
        /// The address, cut when it is long.
        to: String,
        /// Why it is not gone to.
        why: &'static str,
    },
}

impl FixSourceError {
    /// Whether the source may well answer another time: it could not be asked now.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreadable { .. }
            | Self::GitRun(_)
            | Self::GitSlow { .. }
            | Self::Tls(_)
            | Self::Unreachable { .. }
            | Self::Resting { .. } => true,
            Self::Absent
            | Self::Merge
            | Self::NoChange
            | Self::OtherCommit(_)
            | Self::TooLarge { .. }
            | Self::NotAFile { .. }
            | Self::Outside(_)
            | Self::NotAClone(_)
            | Self::Git(_)
            | Self::Status(_)
            | Self::Redirect { .. } => false,
        }
    }
}
