use std::io;

use camino::Utf8PathBuf;

/// Why a key was not made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file of a key cannot be read.
    #[error("cannot read the key {path}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file of a key cannot be written, or is there already.
    #[error("cannot write the key {path}")]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A file is no secret key of minisign's.
    #[error("{path} is no secret key of minisign's: {what}")]
    NoSecretKey {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A secret key has a password, which nobody is there to type in.
    #[error("the secret key {path} has a password")]
    Password {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A text is no public key.
    #[error("{what} is no public key of minisign's (RW and 54 further characters)")]
    NoPublicKey {
        /// The text, or the file.
        what: String,
    },
    /// The machine gives no random numbers, what is to be signed cannot be read, or the key does not work.
    #[error("the key cannot be used: {0}")]
    Sign(String),
}
