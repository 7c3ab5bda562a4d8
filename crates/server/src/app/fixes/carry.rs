//! The texts of fixes that are carried to another server, and those that come from one. The server that has
//! the store may run meanwhile, or not.

use elivepatch_fixes::{CommitHash, FixSource, check_text};
use elivepatch_model::with_causes;
use elivepatch_store::{KnownFix, Store, StoreError};

use super::keep::{Checked, checked};
use crate::app::now;

/// How many texts go to the disk together: what was fetched before a failure is not fetched again.
const TOGETHER: usize = 50;

/// What a text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) struct Looked {
    /// The paths in the kernel's tree that it changes.
    pub(in crate::app) files: Vec<String>,
    /// Whether it can never be a livepatch by them.
    pub(in crate::app) is_refused: bool,
}

/// Looks at a text as if a source had just given it.
///
/// # Errors
/// Why it is not the patch of the commit, or none that can be read.
pub(in crate::app) fn look_at(commit: &CommitHash, text: Vec<u8>) -> Result<Looked, String> {
    check_text(&text, Some(commit)).map_err(|error| with_causes(&error))?;
    match checked(text, commit.as_str()) {
        Ok(Checked { files, failure, .. }) => Ok(Looked { files, is_refused: failure.is_some() }),
        Err(failure) => Err(failure.message),
    }
}

/// Asks the sources for the patches of commits that the store does not have. `tell` hears how many of how many
/// were looked for. Gives those that could not be had, with the reason.
pub(in crate::app) async fn fetch(
    store: &Store,
    sources: &[FixSource],
    commits: impl ExactSizeIterator<Item = CommitHash>,
    mut tell: impl FnMut(usize, usize),
) -> Result<Vec<(CommitHash, String)>, StoreError> {
    let all = commits.len();
    let (mut fresh, mut missing) = (Vec::new(), Vec::new());
    for (done, commit) in commits.enumerate() {
        tell(done, all);
        if let Some(known) = store.known_fix(commit.as_str()).await?
            && store.intact_blob(known.blob).await?.is_some()
        {
            continue;
        }
        match ask(sources, &commit).await {
            Ok((Checked { text, files, failure }, source)) => {
                let blob = store.place_blob(text).await?;
                let (is_refused, fetched_at) = (failure.is_some(), now());
                let fix = KnownFix { blob, source, files, is_refused, fetched_at };
                fresh.push((commit.to_string(), fix));
            }
            Err(why) => missing.push((commit, why)),
        }
        if fresh.len() >= TOGETHER {
            store.keep_fixes(&std::mem::take(&mut fresh), &[], now()).await?;
        }
    }
    store.keep_fixes(&fresh, &[], now()).await?;
    tell(all, all);
    Ok(missing)
}

/// The text of the first source that has one, with the source; or what each of them said.
async fn ask(sources: &[FixSource], commit: &CommitHash) -> Result<(Checked, String), String> {
    let mut said = Vec::new();
    for source in sources {
        let Some(answer) = source.fix(commit).await else { continue };
        let label = source.label().to_owned();
        match answer {
            Ok(text) => match checked(text, commit.as_str()) {
                Ok(checked) => return Ok((checked, label)),
                Err(failure) => said.push(format!("{label}: {}", failure.message)),
            },
            Err(error) => said.push(format!("{label}: {}", with_causes(&error))),
        }
    }
    Err(match said.is_empty() {
        true => "the server's config names no source of fixes ([[fixes]])".to_owned(),
        false => said.join("; "),
    })
}
