//! What sources gave: looked at, and kept so that no source is asked twice.
//!
//! Hundreds of texts are asked for at a time, and a disk takes some ten milliseconds to say that it has one
//! for good. So a text counts from when it is written, and all that came in within a moment go to the disk
//! together. A crash loses them at most, and damage is seen when they are read: they are fetched again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use elivepatch_fixes::CommitHash;
use elivepatch_model::{Failure, Sha256Digest};
use elivepatch_patch::{ChangeKind, SourcePatch};
use elivepatch_store::{KeptBlob, KnownFix, StoreError};

use super::{Asked, FoundFix};
use crate::app::{App, AppError, checks, now};

/// How long texts are collected that go to the disk together: hundreds are asked for one after the other.
const TOGETHER: Duration = Duration::from_millis(200);

/// What is written and not known to be on the disk.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    texts: Mutex<Texts>,
    /// Held by who waits for the disk.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Texts {
    fixes: HashMap<CommitHash, KnownFix>,
    others: Vec<KeptBlob>,
    /// Somebody will put them on the disk.
    is_planned: bool,
}

impl Fresh {
    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().expect("no holder of the lock panics")
    }
}

/// A text that is a patch.
pub(super) struct Checked {
    pub(super) text: Vec<u8>,
    pub(super) files: Vec<String>,
    /// Why it can never be a livepatch.
    pub(super) failure: Option<Failure>,
}

/// Looks at a text as at a patch of a request.
///
/// # Errors
/// When it is no patch that can be read.
pub(super) fn checked(text: Vec<u8>, name: &str) -> Result<Checked, Failure> {
    let patch = SourcePatch::parse(&text).map_err(|error| error.failure())?;
    let mut files = BTreeSet::new();
    for file in &patch.files {
        files.insert(file.path.as_str().to_owned());
        if let ChangeKind::Renamed { from } = &file.kind {
            files.insert(from.as_str().to_owned());
        }
    }
    let failure = match checks::plan(&patch, name) {
        Err(AppError::Refused(failure)) => Some(*failure),
        _ => None,
    };
    Ok(Checked { text, files: files.into_iter().collect(), failure })
}

impl App {
    /// The text that is remembered for a commit, if it is still what it was.
    pub(super) async fn remembered(&self, commit: &CommitHash) -> Result<Option<Asked>, AppError> {
        let fresh = self.inner.fixes.fresh.texts().fixes.get(commit).cloned();
        let known = match fresh {
            Some(known) => Some(known),
            None => self.store().known_fix(commit.as_str()).await?,
        };
        let Some(KnownFix { blob, source, files, is_refused, .. }) = known else { return Ok(None) };
        let Some(text) = self.store().intact_blob(blob).await? else {
            tracing::warn!(%commit, digest = %blob.digest, "the text of a fix is gone, or damaged");
            return Ok(None);
        };
        // What was refused once, this version may take.
        if is_refused
            && let Ok(Checked { failure: Some(failure), .. }) | Err(failure) =
                self.check_fix(text, commit.as_str()).await?
        {
            return Ok(Some(Asked::Refused { source, failure: Box::new(failure) }));
        }
        Ok(Some(Asked::Found(FoundFix { blob, source, files })))
    }

    /// Keeps the text of a commit.
    pub(super) async fn keep(
        &self,
        commit: &CommitHash,
        checked: Checked,
        source: String,
    ) -> Result<Asked, AppError> {
        let Checked { text, files, failure } = checked;
        let blob = self.store().place_blob(text).await?;
        let (is_refused, fetched_at) = (failure.is_some(), now());
        let fix =
            KnownFix { blob, source: source.clone(), files: files.clone(), is_refused, fetched_at };
        self.plan_writing(|texts| drop(texts.fixes.insert(commit.clone(), fix)));
        self.inner.fixes.files_at_hand.is_there(commit.as_str());
        Ok(match failure {
            Some(failure) => Asked::Refused { source, failure: Box::new(failure) },
            None => Asked::Found(FoundFix { blob, source, files }),
        })
    }

    /// Keeps a text that is no commit's.
    pub(super) async fn keep_other(
        &self,
        checked: Checked,
        source: String,
    ) -> Result<FoundFix, AppError> {
        let Checked { text, files, .. } = checked;
        let blob = self.store().place_blob(text).await?;
        self.plan_writing(|texts| texts.others.push(blob));
        Ok(FoundFix { blob, source, files })
    }

    /// Adds to what goes to the disk, and sees to it that it does.
    fn plan_writing(&self, add: impl FnOnce(&mut Texts)) {
        let mut texts = self.inner.fixes.fresh.texts();
        add(&mut texts);
        if !std::mem::replace(&mut texts.is_planned, true) {
            // It must not hold the data directory of a server that ends.
            let inner = Arc::downgrade(&self.inner);
            tokio::spawn(async move {
                tokio::time::sleep(TOGETHER).await;
                let Some(inner) = inner.upgrade() else { return };
                Self { inner }.write_fixes().await;
            });
        }
    }

    /// Waits until all texts that were found so far are on the disk for good. To be called before something
    /// else that must survive a crash rests on them.
    pub(in crate::app) async fn fixes_on_disk(&self) -> Result<(), StoreError> {
        let fresh = &self.inner.fixes.fresh;
        let _alone = fresh.writing.lock().await;
        let (fixes, others) = {
            let mut texts = fresh.texts();
            texts.is_planned = false;
            let fixes: Vec<(CommitHash, KnownFix)> =
                texts.fixes.iter().map(|(commit, fix)| (commit.clone(), fix.clone())).collect();
            (fixes, std::mem::take(&mut texts.others))
        };
        if fixes.is_empty() && others.is_empty() {
            return Ok(());
        }
        let rows: Vec<(String, KnownFix)> =
            fixes.iter().map(|(commit, fix)| (commit.to_string(), fix.clone())).collect();
        let kept = self.store().keep_fixes(&rows, &others, now()).await;
        // Also after a failure: a full disk would be filled by what waits for it.
        let mut texts = fresh.texts();
        for (commit, fix) in &fixes {
            if texts.fixes.get(commit) == Some(fix) {
                texts.fixes.remove(commit);
            }
        }
        kept
    }

    /// The same where nobody waits for it: what is not remembered is fetched again.
    pub(in crate::app) async fn write_fixes(&self) {
        if let Err(error) = self.fixes_on_disk().await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "fixes are not remembered; they are fetched again");
        }
    }

    /// Whether records name all these texts. It is not so when the disk failed while they were written for somebody
    /// else, whom [`Self::fixes_on_disk`] told instead.
    pub(in crate::app) async fn are_kept(
        &self,
        texts: &[Sha256Digest],
    ) -> Result<bool, StoreError> {
        for text in texts {
            match self.store().kept_blob(*text).await {
                Ok(_) => {}
                Err(StoreError::NoSuchBlob(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
