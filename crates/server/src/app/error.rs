use elivepatch_api::ErrorCode;
use elivepatch_cve::CveId;
use elivepatch_model::{BuildNumber, BuildState, ElfBuildId, Failure, Sha256Digest};
use elivepatch_signature::KeyError;
use elivepatch_store::StoreError;

use super::DataDirectoryError;

/// After how many seconds a full queue is to be asked again: most builds take less.
pub(super) const RETRY_AFTER_SECONDS: u32 = 60;

/// Why the server did not do what it was asked.
///
/// The message is for the caller. The source, where there is one, is for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A build request was read and refused: it can never give a livepatch as it is.
    #[error("{}", .0.message)]
    Refused(Box<Failure>),
    /// A request has the wrong form, or a value that is out of range.
    #[error("{message}")]
    BadRequest {
        /// What is wrong with it.
        message: String,
        /// What to send instead.
        hint: String,
    },
    /// A part of a request is larger than its limit.
    #[error("{what} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The part.
        what: String,
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// The request comes without a token where one is needed, or with one that is not valid.
    #[error("{message}")]
    Unauthorized {
        /// What is wrong.
        message: String,
        /// How to get a token that is.
        hint: String,
    },
    /// The role does not allow it, or the request comes from a web page of another site, or by a name that is not the server's.
    #[error("{message}")]
    Forbidden {
        /// What is wrong with it.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// A client without a token asks for more than such clients get at present.
    #[error("{message}")]
    Busy {
        /// What there is too much of.
        message: String,
        /// When to come again, and what its limit is called.
        hint: String,
        /// After how long it is of use to ask again, in seconds.
        retry_after_seconds: u32,
    },
    /// The path leads nowhere.
    #[error("there is nothing at this path")]
    NoSuchPath,
    /// The path does not know the method.
    #[error("this path does not know the method {0}")]
    MethodNotAllowed(String),
    /// A worker's builder would not make of a request what the server's makes.
    #[error("{message}")]
    OtherBuilder {
        /// What is different.
        message: String,
        /// How to make them equal.
        hint: &'static str,
    },
    /// A worker asks for a blob that is not one of its build's.
    #[error("build {number} has no blob with this digest")]
    NotOfBuild {
        /// The build.
        number: BuildNumber,
    },
    /// A rebuild needs a text that no build here has.
    #[error("this server does not have the {what} with the digest {digest}")]
    NoSuchText {
        /// What it is.
        what: String,
        /// Its digest.
        digest: Sha256Digest,
    },
    /// A livepatch is asked for, by the build-id of its module, that was not made here.
    #[error("this server has made no livepatch whose module has the build-id {0}")]
    UnknownLivepatch(ElfBuildId),
    /// A build is to replace a livepatch that was not made here for its release, or whose module is gone.
    #[error("this server does not have the livepatch {0} that is to be replaced")]
    NothingToReplace(Sha256Digest),
    /// The module or manifest of a build that has none, or not yet, is asked for.
    #[error("build {number} is {state} and has no livepatch")]
    NoLivepatch {
        /// The build.
        number: BuildNumber,
        /// Where it stands.
        state: BuildState,
    },
    /// The same for who ordered it by the REST API v1.0, and knows no other path.
    #[error("build {number} is {state} and has no livepatch")]
    NoLivepatchOfSession {
        /// The build.
        number: BuildNumber,
        /// Where it stands.
        state: BuildState,
    },
    /// The module of a build that is to be given to hosts is not on the disk any more.
    #[error("the module of build {number} is not in the data directory any more")]
    ModuleGone {
        /// The build.
        number: BuildNumber,
    },
    /// The feed does not have a CVE that is asked for.
    #[error("the CVE feed has no {0}")]
    NoSuchCve(CveId),
    /// The signature of a manifest is asked for, and this server has no key to sign with.
    #[error("this server signs no manifests")]
    SignsNothing,
    /// A manifest cannot be signed: the machine gives no random numbers.
    #[error("a manifest cannot be signed")]
    Sign(#[source] KeyError),
    /// The data directory cannot be used. Only at start.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// The system gave no thread for the checks. Only at start.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A handler panicked. The log has the message.
    #[error("a request handler panicked: {0}")]
    Panicked(String),
}

impl AppError {
    /// A request in the wrong form.
    pub(crate) fn bad_request(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::BadRequest { message: message.into(), hint: hint.into() }
    }

    /// The stable code for the caller.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(_) => ErrorCode::RequestRefused,
            Self::BadRequest { .. } => ErrorCode::BadRequest,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::Unauthorized { .. } => ErrorCode::Unauthorized,
            Self::Forbidden { .. } => ErrorCode::Forbidden,
            Self::Busy { .. } => ErrorCode::QueueFull,
            Self::NoSuchPath
            | Self::NotOfBuild { .. }
            | Self::NoSuchText { .. }
            | Self::UnknownLivepatch(_)
            | Self::NothingToReplace(_)
            | Self::NoSuchCve(_)
            | Self::SignsNothing => ErrorCode::NotFound,
            Self::MethodNotAllowed(_) => ErrorCode::MethodNotAllowed,
            Self::NoLivepatch { .. }
            | Self::NoLivepatchOfSession { .. }
            | Self::ModuleGone { .. }
            | Self::OtherBuilder { .. } => ErrorCode::Conflict,
            Self::DataDirectory(_) | Self::Thread(_) | Self::Sign(_) | Self::Panicked(_) => {
                ErrorCode::Internal
            }
            Self::Store(error) => match error {
                StoreError::NoSuchBuild(_)
                | StoreError::NoSuchBlob(_)
                | StoreError::NoSuchRun(_)
                | StoreError::NoSuchHost(_)
                | StoreError::NoSuchToken(_) => ErrorCode::NotFound,
                StoreError::NotEnrolled => ErrorCode::Unauthorized,
                StoreError::OtherHost { .. } => ErrorCode::Forbidden,
                StoreError::NoSuchAssignment(_)
                | StoreError::NotHeld(_)
                | StoreError::NotWithdrawn(_) => ErrorCode::NotFound,
                StoreError::QueueFull(_) => ErrorCode::QueueFull,
                StoreError::Finished { .. }
                | StoreError::RunFinished { .. }
                | StoreError::HostTaken(_)
                | StoreError::NoLivepatch { .. }
                | StoreError::OnlyProbe(_)
                | StoreError::Withdrawn { .. } => ErrorCode::Conflict,
                StoreError::LeaseLost(_) => ErrorCode::LeaseLost,
                StoreError::WrongManifest { .. } | StoreError::NoProbe(_) => ErrorCode::BadRequest,
                StoreError::TooLarge { .. } => ErrorCode::TooLarge,
                StoreError::DiskFull => ErrorCode::DiskFull,
                StoreError::Newer { .. }
                | StoreError::Open { .. }
                | StoreError::Database(_)
                | StoreError::Corrupt { .. }
                | StoreError::Spool(_)
                | StoreError::Blob { .. } => ErrorCode::Internal,
            },
        }
    }

    /// The message for the caller: of what happened inside, only that it did.
    pub fn message(&self) -> String {
        match self.code() {
            ErrorCode::Internal => "the server failed to answer this request".to_owned(),
            ErrorCode::DiskFull => "the server's disk is full".to_owned(),
            _ => self.to_string(),
        }
    }

    /// After how many seconds it is of use to send the same again, where waiting helps.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::Busy { retry_after_seconds, .. } => Some(*retry_after_seconds),
            Self::Store(StoreError::QueueFull(_)) => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }

    /// What the caller can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Refused(failure) => return failure.hint.clone(),
            Self::BadRequest { hint, .. }
            | Self::Unauthorized { hint, .. }
            | Self::Forbidden { hint, .. }
            | Self::Busy { hint, .. } => return hint.clone(),
            Self::OtherBuilder { hint, .. } => return (*hint).to_owned(),
            Self::NoSuchText { .. } => {
                return "send it along: elivepatch rebuild MANIFEST --config FILE PATCH…"
                    .to_owned();
            }
            Self::NothingToReplace(_) => {
                return "leave options.replaces out: then it is not tried that it is replaced"
                    .to_owned();
            }
            Self::SignsNothing => {
                return "elivepatch-server manifest-key, on its machine, says what is missing"
                    .to_owned();
            }
            Self::NoLivepatch { number, state } if state.is_finished() => {
                return format!("see GET /api/v2/builds/{number} for why");
            }
            Self::NoLivepatch { number, .. } => {
                return format!("follow GET /api/v2/builds/{number}/events until it is finished");
            }
            Self::NoLivepatchOfSession { state, .. } if state.is_finished() => {
                return "order it again, with another UUID".to_owned();
            }
            Self::NoLivepatchOfSession { .. } => {
                return "GET send_livepatch with the same UUID gives it as soon as it is there"
                    .to_owned();
            }
            Self::ModuleGone { number } => {
                return format!(
                    "build it again: elivepatch rebuild, with the manifest of build {number}"
                );
            }
            Self::NoSuchCve(_) => {
                return "elivepatch-server feed update reads the feed; is the name right?"
                    .to_owned();
            }
            Self::Store(error) => {
                if let Some(hint) = super::hosts::hint(error) {
                    return hint;
                }
            }
            _ => {}
        }
        match self.code() {
            ErrorCode::NotFound => {
                "GET /api/v2/builds lists the builds, GET /api/v2/openapi.json the paths"
            }
            ErrorCode::Unauthorized => "have a token made: elivepatch-server token create",
            ErrorCode::Forbidden => "ask from a program, not from a page of another site",
            ErrorCode::MethodNotAllowed => "GET /api/v2/openapi.json says what each path knows",
            ErrorCode::Conflict => "nothing is left to be done",
            ErrorCode::LeaseLost => "drop the build and ask for work again",
            ErrorCode::TooLarge => "send less",
            ErrorCode::QueueFull => "try again when some builds are finished",
            ErrorCode::DiskFull => "make room on the disk of the data directory, then try again",
            ErrorCode::BadRequest | ErrorCode::RequestRefused => {
                "GET /api/v2/openapi.json describes the request"
            }
            ErrorCode::Internal => {
                "the server's log has the cause under this request id; trying again may help"
            }
        }
        .to_owned()
    }
}
