use std::{io, path::PathBuf};

use camino::Utf8PathBuf;
use elivepatch_signature::{KeyError, KeyId};

/// Why a bundle was not written or read, or a key not used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The bundle cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The bundle.
        path: Utf8PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The bundle cannot be written; what was in its place before is still there.
    #[error("cannot write {path}")]
    Write {
        /// The bundle.
        path: Utf8PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// What is put away until it is needed cannot be written or read.
    #[error("cannot keep the bundle in {directory} meanwhile")]
    Scratch {
        /// Where it lies, without a name.
        directory: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file does not have the form of a bundle.
    #[error("{path} is no bundle: {what}")]
    NoBundle {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file ends before it should.
    #[error("{path} is cut off: {member} should have {expected} bytes, and has {found}")]
    CutOff {
        /// The file.
        path: Utf8PathBuf,
        /// What is not whole.
        member: String,
        /// How large it says that it is.
        expected: u64,
        /// How much of it is there.
        found: u64,
    },
    /// Something is larger than it ever is.
    #[error("{what} has {found}, and no bundle more than {limit}")]
    TooLarge {
        /// What it is.
        what: String,
        /// How much there is, with its unit.
        found: String,
        /// How much there may be.
        limit: u64,
    },
    /// No public key was given.
    #[error("there is no public key to verify {path} with")]
    NoKey {
        /// The bundle.
        path: Utf8PathBuf,
    },
    /// The bundle was signed by somebody else.
    #[error("{path} is signed by the key {found}, which is not trusted here; trusted: {}", ids(.trusted))]
    OtherKey {
        /// The bundle.
        path: Utf8PathBuf,
        /// The key that it names.
        found: KeyId,
        /// The keys that are trusted.
        trusted: Vec<KeyId>,
    },
    /// The signature is not one of these bytes: they, or the signature, were changed.
    #[error("the signature of {path} does not fit: it was changed after the key {key} signed it")]
    Signature {
        /// The bundle.
        path: Utf8PathBuf,
        /// The key that it names.
        key: KeyId,
    },
    /// What a trusted key signed is no bundle that can be used.
    #[error("{path} cannot be used, although its signature fits: {what}")]
    Inside {
        /// The bundle.
        path: Utf8PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A later version of the program wrote it.
    #[error("{path} has version {version} of the form of bundles, and this program knows {known}")]
    Newer {
        /// The bundle.
        path: Utf8PathBuf,
        /// Its version.
        version: u32,
        /// The version that is known.
        known: u32,
    },
    /// A member cannot be written as JSON.
    #[error("cannot write {what} of the bundle")]
    Json {
        /// What it is.
        what: String,
        /// What went wrong.
        source: serde_json::Error,
    },
    /// A key was not made, read or used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

fn ids(keys: &[KeyId]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl BundleError {
    /// What cannot be put away.
    pub(crate) fn scratch(source: io::Error) -> Self {
        Self::Scratch { directory: std::env::temp_dir(), source }
    }
}
