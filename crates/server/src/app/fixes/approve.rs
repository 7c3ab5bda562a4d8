use elivepatch_cve::CveId;
use elivepatch_model::{Failure, Sha256Digest, limits};
use elivepatch_store::{ApprovedFix, Store, StoreError};

use super::keep::{Checked, checked};
use crate::app::now;

/// The longest note, in characters: a sentence or two, and an address.
const NOTE_CHARACTERS: usize = 500;

/// Why a patch was not approved. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// The feed has no such CVE.
    #[error("the CVE feed has no {0}")]
    Unknown(CveId),
    /// The name was given, and taken back.
    #[error("{0} was rejected: it is no CVE any more")]
    Rejected(CveId),
    /// The note is too long, or has several lines.
    #[error("the note is not one line of at most {NOTE_CHARACTERS} characters")]
    Note,
    /// The patch cannot be read, or can never be a livepatch.
    #[error("{name} cannot be a livepatch: {}", .failure.message)]
    Patch {
        /// The file.
        name: String,
        /// What is wrong with it.
        failure: Box<Failure>,
    },
    /// It cannot be kept, or the feed not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApproveError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown(_) => "elivepatch-server feed update reads the feed; is the name right?",
            Self::Rejected(_) => "leave it out; a patch without a CVE is built by elivepatch build",
            Self::Note => "shorten it",
            Self::Patch { failure, .. } => return failure.hint.clone(),
            Self::Store(_) => "look at the data directory, and whether its disk is full",
        }
        .to_owned()
    }
}

/// Keeps a patch as the fix that a person approved for a CVE, in the place of one that was approved before;
/// gives that one's digest. The server that has this store may run.
///
/// # Errors
/// When the CVE is unknown or rejected, or the patch can never be a livepatch.
pub async fn approve_fix(
    store: &Store,
    id: CveId,
    name: &str,
    text: Vec<u8>,
    note: &str,
) -> Result<(ApprovedFix, Option<Sha256Digest>), ApproveError> {
    if note.chars().count() > NOTE_CHARACTERS || note.contains(char::is_control) {
        return Err(ApproveError::Note);
    }
    let entry = store.cve(id).await?.ok_or(ApproveError::Unknown(id))?;
    if entry.rejected {
        return Err(ApproveError::Rejected(id));
    }
    let refused =
        |failure| ApproveError::Patch { name: name.to_owned(), failure: Box::new(failure) };
    let mut writer = store.begin_blob(limits::PATCH_BYTES)?;
    writer.write(&text).await?;
    let upload = writer.finish().await?;
    let files = match checked(text, name).map_err(refused)? {
        Checked { failure: Some(failure), .. } => return Err(refused(failure)),
        Checked { files, .. } => files,
    };
    let blob = store.keep_blob(upload).await?;
    let fix = ApprovedFix {
        cve: id,
        digest: blob.digest,
        size_bytes: blob.size_bytes,
        name: name.to_owned(),
        files,
        note: note.to_owned(),
        approved_at: now(),
    };
    let before = store.approve_fix(&fix).await?;
    Ok((fix, before))
}
