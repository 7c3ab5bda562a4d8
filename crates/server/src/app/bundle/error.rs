use elivepatch_bundle::{BundleError, KeyError};
use elivepatch_store::StoreError;
use jiff::Timestamp;

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no feed.
    #[error("no CVE feed was read yet")]
    NoFeed,
    /// The bundle cannot be written or signed.
    #[error("the CVE feed cannot be exported")]
    Bundle(#[from] BundleError),
    /// The store fails.
    #[error("the CVE feed cannot be read from the data directory")]
    Store(#[from] StoreError),
}

/// Why nothing was imported. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is no bundle that can be used.
    #[error("nothing is imported")]
    Bundle(#[from] BundleError),
    /// What is in it is not what this program reads.
    #[error("nothing is imported: {path} cannot be used, although its signature fits: {what}")]
    Content {
        /// The bundle.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The program that exported it reads records otherwise.
    #[error(
        "nothing is imported: {path} was exported by {by}, which reads other things of the records \
         (version {theirs}) than this program (version {ours})"
    )]
    Parser {
        /// The bundle.
        path: String,
        /// The program that exported it.
        by: String,
        /// The version of its parser.
        theirs: u32,
        /// The version of ours.
        ours: u32,
    },
    /// What is there is newer.
    #[error(
        "nothing is imported: the data of {path} is of {theirs}, and what is here is of {ours}"
    )]
    Older {
        /// The bundle.
        path: String,
        /// How old its data is.
        theirs: Timestamp,
        /// How old the data in the store is.
        ours: Timestamp,
    },
    /// Most records would be gone.
    #[error(
        "nothing is imported: {lost} of the {before} CVE records that are here are not in {path}"
    )]
    Shrunk {
        /// The bundle.
        path: String,
        /// Records in the store.
        before: u64,
        /// Records that would be lost.
        lost: u64,
    },
    /// It cannot be kept.
    #[error("the import cannot be kept")]
    Store(#[from] StoreError),
    /// A thread ended before its work.
    #[error("the import broke off")]
    Broken,
}

impl ExportError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoFeed => "elivepatch-server feed update reads it",
            Self::Bundle(error) => bundle_hint(error),
            Self::Store(_) => "look at the data directory, and whether its disk is full",
        }
    }
}

impl ImportError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Bundle(error) => bundle_hint(error),
            Self::Content { .. } => "export it anew, with the same version of elivepatch as here",
            Self::Parser { .. } => {
                "use the same version of elivepatch on both servers, and export it anew"
            }
            Self::Older { .. } => "take the newest bundle; --force imports this one all the same",
            Self::Shrunk { .. } => "look whether it is the right bundle; --force takes it as it is",
            Self::Store(_) | Self::Broken => {
                "look at the data directory, and whether its disk is full"
            }
        }
    }
}

/// What to do about a bundle or a key that cannot be used.
pub fn bundle_hint(error: &BundleError) -> &'static str {
    match error {
        BundleError::Read { .. } => "name the file that feed export wrote",
        BundleError::Write { .. } => "name a file in a directory that is there and has room",
        BundleError::Scratch { .. } => {
            "make room there, or name another directory in the environment variable TMPDIR"
        }
        BundleError::NoBundle { .. }
        | BundleError::CutOff { .. }
        | BundleError::TooLarge { .. } => "carry the file over once more; feed export makes it",
        BundleError::NoKey { .. } => {
            "give --public-key FILE, or set public_keys in the [feed] section of the server's config"
        }
        BundleError::OtherKey { .. } => {
            "give the public key of who exported it with --public-key, when you trust him"
        }
        BundleError::Signature { .. } => {
            "carry the file over once more; when that does not help, somebody changed it"
        }
        BundleError::Inside { .. } | BundleError::Json { .. } => {
            "export it anew, with the same version of elivepatch as here"
        }
        BundleError::Newer { .. } => "install the version of elivepatch that exported it",
        BundleError::Key(error) => match error {
            KeyError::Read { .. } | KeyError::NoSecretKey { .. } => {
                "elivepatch-server feed keygen --secret FILE --public FILE makes a pair of keys"
            }
            KeyError::Write { .. } => "name a file that is not there yet",
            KeyError::Password { .. } => {
                "minisign -C -W -s FILE takes it away; keep the file where only the server's user can read it"
            }
            KeyError::NoPublicKey { .. } => {
                "give the file that feed keygen wrote with --public, or the line with RW in it"
            }
            KeyError::Sign(_) => "is it a key that feed keygen or minisign made?",
        },
    }
}
