use camino::Utf8PathBuf;
use elivepatch_model::{
    BuildNumber, BuildState, HostName, RunNumber, RunState, Sha256Digest, TokenId, Whom,
};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database was written by a later version, which may have changed the meaning of records.
    #[error("the database {path} was written by a newer elivepatch (it has migration {migration})")]
    Newer {
        /// The database file.
        path: Utf8PathBuf,
        /// The number of the first migration that this version does not know.
        migration: i64,
    },
    /// The database could not be opened or brought up to date.
    #[error("cannot open the database {path}")]
    Open {
        /// The database file.
        path: Utf8PathBuf,
        /// What SQLite or the migration said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement failed.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// There is no room on the disk for records or blobs. Nothing was changed.
    #[error("the disk of the data directory is full")]
    DiskFull,
    /// A record or blob is not what was written: the data directory was changed from outside.
    #[error("the data directory is damaged: {what}")]
    Corrupt {
        /// The damaged object.
        what: String,
        /// What reading it said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What was read of a CVE feed could not be read back. Nothing was changed.
    #[error("what was read of the CVE feed is lost")]
    Spool(#[source] elivepatch_cve::feed::SpoolError),
    /// A file or directory of the blobs could not be read or written.
    #[error("cannot access {path}")]
    Blob {
        /// The file or directory.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An upload has more bytes than its limit.
    #[error("the upload has more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// No blob has this digest.
    #[error("there is no blob {0}")]
    NoSuchBlob(Sha256Digest),
    /// No build has this number.
    #[error("there is no build {0}")]
    NoSuchBuild(BuildNumber),
    /// As many builds wait as are allowed to.
    #[error("{0} builds are waiting already")]
    QueueFull(u64),
    /// The build is finished, and only a build that is not can be cancelled.
    #[error("build {number} is already {state}")]
    Finished {
        /// The build.
        number: BuildNumber,
        /// How it ended.
        state: BuildState,
    },
    /// A write came with a token whose lease has ended or never was. Nothing was changed.
    #[error("the lease of build {0} has ended")]
    LeaseLost(BuildNumber),
    /// A worker sent what a probe finds for a build that is none. Nothing was changed.
    #[error("build {0} is no probe")]
    NoProbe(BuildNumber),
    /// No run has this number.
    #[error("there is no CVE run {0}")]
    NoSuchRun(RunNumber),
    /// The run is finished, and only a run that is not can be cancelled.
    #[error("CVE run {number} is already {state}")]
    RunFinished {
        /// The run.
        number: RunNumber,
        /// How it ended.
        state: RunState,
    },
    /// No host has this name.
    #[error("no host is registered as {0}")]
    NoSuchHost(HostName),
    /// A host of this name is registered already.
    #[error("a host is registered as {0} already")]
    HostTaken(HostName),
    /// No token has this id.
    #[error("there is no token {0}")]
    NoSuchToken(TokenId),
    /// A host came with a token that registers none: it is unknown, no enrolment token, used, revoked, or its
    /// time is over. Nothing was changed.
    #[error("the token does not enrol a host")]
    NotEnrolled,
    /// An enrolment token is for another host than the one that came with it. Nothing was changed.
    #[error("the token enrols the host {host} and no other")]
    OtherHost {
        /// The host that it is for.
        host: HostName,
    },
    /// The build has no livepatch: it is not finished, or came to nothing.
    #[error("build {number} is {state} and has no livepatch")]
    NoLivepatch {
        /// The build.
        number: BuildNumber,
        /// Where it stands.
        state: BuildState,
    },
    /// The build is a probe, of which nothing is published.
    #[error("build {0} is a probe: it shows whether a fix can be a livepatch, and has none")]
    OnlyProbe(BuildNumber),
    /// The livepatch was withdrawn: no host may run it.
    #[error("the livepatch of build {number} was withdrawn: {}", shown_reason(.reason))]
    Withdrawn {
        /// The build that is meant.
        number: BuildNumber,
        /// The build that was withdrawn, which made the same module.
        withdrawn: BuildNumber,
        /// Why; may be empty.
        reason: String,
    },
    /// The livepatch was not withdrawn.
    #[error("the livepatch of build {0} is not withdrawn")]
    NotWithdrawn(BuildNumber),
    /// No assignment has this id.
    #[error("there is no assignment {0}")]
    NoSuchAssignment(i64),
    /// Nobody holds these hosts.
    #[error("nothing holds {0}")]
    NotHeld(Whom),
    /// A worker's manifest does not fit the build or the uploaded module. Nothing was changed.
    #[error("the manifest of build {number} is wrong: {reason}")]
    WrongManifest {
        /// The build.
        number: BuildNumber,
        /// What does not fit.
        reason: String,
    },
}

fn shown_reason(reason: &str) -> &str {
    if reason.is_empty() { "no reason was given" } else { reason }
}

impl StoreError {
    /// A record that cannot be read.
    pub(crate) fn corrupt(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Corrupt { what: what.into(), source: Some(source.into()) }
    }

    /// A file operation that failed; a full disk is told apart.
    pub(crate) fn blob(path: impl Into<Utf8PathBuf>, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Blob { path: path.into(), source },
        }
    }
}

/// SQLite's primary result code for a full disk (`SQLITE_FULL`).
const SQLITE_FULL: i32 = 13;

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        let code = source.as_database_error().and_then(|error| error.code());
        let code = code.and_then(|code| code.parse::<i32>().ok());
        // Extended codes carry the primary one in their low byte.
        if code.is_some_and(|code| code & 0xff == SQLITE_FULL) {
            Self::DiskFull
        } else {
            Self::Database(source)
        }
    }
}
