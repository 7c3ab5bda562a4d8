use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::limits;

use crate::{CommitHash, FixSourceError, regular_file, text};

/// The patch of a commit out of a directory with files `COMMIT.patch`.
pub(crate) fn fix(directory: &Utf8Path, commit: &CommitHash) -> Result<Vec<u8>, FixSourceError> {
    let name = Utf8PathBuf::from(format!("{commit}.patch"));
    let found = regular_file::read(directory, &name, limits::PATCH_BYTES)?;
    let bytes = found.ok_or(FixSourceError::Absent)?;
    text::check(&bytes, Some(commit))?;
    Ok(bytes)
}
