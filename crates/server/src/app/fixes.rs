//! The texts of fixes: asking the sources for them, keeping what they give, and what a person approved.

mod approve;
mod carry;
mod files_at_hand;
mod keep;

use std::fmt;

use elivepatch_cve::{CveId, LinuxVersion};
use elivepatch_fixes::{
    CommitHash, CommitHashError, FixSource, FixSourceError, FixSourceOptions, OverlayFix,
};
use elivepatch_model::{Failure, with_causes};
use elivepatch_store::{KeptBlob, StoreError};

use super::{App, AppError};

pub use approve::{ApproveError, approve_fix};
pub(super) use carry::{Looked, fetch, look_at};
use files_at_hand::FilesAtHand;
use keep::{Checked, Fresh, checked};

/// The text of a fix that was found, checked and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFix {
    /// The patch. It is on the disk for good some moments later at the latest: see [`App::fixes_on_disk`].
    pub(super) blob: KeptBlob,
    /// Where it was had from, for people.
    pub(super) source: String,
    /// The paths in the kernel's tree that it changes.
    pub(super) files: Vec<String>,
}

/// Why there is no text of a fix.
#[derive(Debug, thiserror::Error)]
pub(super) enum FixMissing {
    /// Not even the name is that of a commit.
    #[error(transparent)]
    NoCommit(#[from] CommitHashError),
    /// The config names no source that has fixes by their commits.
    #[error("the server's config names no source of fixes ([[fixes]])")]
    NoSource,
    /// All sources were asked, and none has the patch.
    #[error("no source has it: {}", list(.said))]
    Nowhere {
        /// Each source with what it said.
        said: Vec<SourceSaid>,
    },
    /// A source could not be asked now; another time it may have the patch.
    #[error("it cannot be had now: {}", list(.said))]
    Unreachable {
        /// Each source with what it said.
        said: Vec<SourceSaid>,
    },
    /// The patch is there, and can never be a livepatch by the files that it changes.
    #[error("{}: {}", .source_label, .failure.message)]
    Refused {
        /// The source that has it.
        source_label: String,
        /// Why it is refused.
        failure: Box<Failure>,
    },
    /// The text cannot be kept.
    #[error("the fix cannot be kept")]
    Keep(#[from] AppError),
}

impl FixMissing {
    /// Whether asking another time may help, with the config as it is.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Keep(_) => true,
            Self::NoCommit(_) | Self::NoSource | Self::Nowhere { .. } | Self::Refused { .. } => {
                false
            }
        }
    }
}

/// What a source said that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceSaid {
    source: String,
    said: String,
}

impl fmt::Display for SourceSaid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.source, self.said)
    }
}

fn list(said: &[SourceSaid]) -> String {
    said.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The sources of fixes, and what they gave that is not on the disk yet.
#[derive(Debug)]
pub(super) struct Fixes {
    sources: Vec<FixSource>,
    fresh: Fresh,
    files_at_hand: FilesAtHand,
}

/// What came of a text that was looked for.
enum Asked {
    Found(FoundFix),
    Refused {
        source: String,
        failure: Box<Failure>,
    },
    /// No source that was asked has it.
    Missing {
        said: Vec<SourceSaid>,
        is_transient: bool,
    },
}

impl Fixes {
    pub(super) fn new(sources: &[FixSourceOptions]) -> Self {
        let sources = sources.iter().map(FixSource::new).collect();
        Self { sources, fresh: Fresh::default(), files_at_hand: FilesAtHand::default() }
    }
}

impl App {
    /// The patch of a commit: what is remembered, or what the first source has that has it.
    pub(super) async fn fix_of_commit(&self, commit: &str) -> Result<FoundFix, FixMissing> {
        let commit: CommitHash = commit.parse()?;
        match self.ask(&commit, |_| true).await? {
            Asked::Found(found) => Ok(found),
            Asked::Refused { source: source_label, failure } => {
                Err(FixMissing::Refused { source_label, failure })
            }
            Asked::Missing { said, .. } if said.is_empty() => Err(FixMissing::NoSource),
            Asked::Missing { said, is_transient: true } => Err(FixMissing::Unreachable { said }),
            Asked::Missing { said, is_transient: false } => Err(FixMissing::Nowhere { said }),
        }
    }

    /// The patch of a commit as far as it needs no network. What cannot be read is as if it were not there:
    /// [`App::fix_of_commit`] says why. So is what can never be a livepatch.
    pub(super) async fn fix_at_hand(&self, commit: &str) -> Result<Option<FoundFix>, AppError> {
        let Ok(commit) = commit.parse::<CommitHash>() else { return Ok(None) };
        match self.ask(&commit, FixSource::is_local).await? {
            Asked::Found(found) => Ok(Some(found)),
            Asked::Refused { .. } | Asked::Missing { .. } => Ok(None),
        }
    }

    /// The patch that a person approved for a CVE.
    pub(super) async fn approved_fix(&self, id: CveId) -> Result<Option<FoundFix>, AppError> {
        let Some(approved) = self.store().approved_fix(id).await? else { return Ok(None) };
        let blob = approved.blob();
        if self.store().intact_blob(blob).await?.is_none() {
            // No source has it.
            let what = format!("the approved fix of {id} is missing or another than it was");
            return Err(StoreError::Corrupt { what, source: None }.into());
        }
        let source = format!("approved: {}", approved.name);
        Ok(Some(FoundFix { blob, source, files: approved.files }))
    }

    /// The patch that an overlay has for a CVE in exactly this version, the first overlay first. One that
    /// cannot be used is told in the log.
    pub(super) async fn overlay_fix(
        &self,
        id: CveId,
        version: LinuxVersion,
    ) -> Result<Option<FoundFix>, AppError> {
        for source in &self.inner.fixes.sources {
            let label = source.label();
            let unusable = |why: &str| {
                tracing::warn!(cve = %id, source = label, why, "a fix of an overlay is not used");
            };
            match source.overlay_fix(id, version).await {
                Ok(None) => {}
                Ok(Some(OverlayFix::Commit(commit))) => {
                    match self.fix_of_commit(commit.as_str()).await {
                        Ok(found) => {
                            let source = format!("{label}, commit {commit}: {}", found.source);
                            return Ok(Some(FoundFix { source, ..found }));
                        }
                        Err(FixMissing::Keep(error)) => return Err(error),
                        Err(missing) => unusable(&with_causes(&missing)),
                    }
                }
                Ok(Some(OverlayFix::Patch { text, path })) => {
                    let name = format!("{label}, {path}");
                    match self.check_fix(text, &name).await? {
                        Ok(Checked { failure: Some(failure), .. }) | Err(failure) => {
                            unusable(&failure.message);
                        }
                        Ok(checked) => return Ok(Some(self.keep_other(checked, name).await?)),
                    }
                }
                Err(error) => unusable(&with_causes(&error)),
            }
        }
        Ok(None)
    }

    /// Looks for the patch of a commit: first what is remembered, then in the sources that may be asked, in
    /// their order.
    async fn ask(
        &self,
        commit: &CommitHash,
        may_ask: impl Fn(&FixSource) -> bool,
    ) -> Result<Asked, AppError> {
        if let Some(asked) = self.remembered(commit).await? {
            return Ok(asked);
        }
        let (mut said, mut is_transient) = (Vec::new(), false);
        for source in self.inner.fixes.sources.iter().filter(|source| may_ask(source)) {
            let Some(answer) = source.fix(commit).await else { continue };
            let label = source.label().to_owned();
            let what = match answer {
                Ok(text) => match self.check_fix(text, commit.as_str()).await? {
                    Ok(checked) => return self.keep(commit, checked, label).await,
                    Err(failure) => failure.message,
                },
                Err(error) => {
                    is_transient |= error.is_transient();
                    if !matches!(error, FixSourceError::Absent) {
                        let why = with_causes(&error);
                        tracing::debug!(%commit, source = label, why, "a source gave no fix");
                    }
                    with_causes(&error)
                }
            };
            said.push(SourceSaid { source: label, said: what });
        }
        Ok(Asked::Missing { said, is_transient })
    }

    /// Reads a text, and looks at what it changes; the inner error: it is no patch that can be read.
    async fn check_fix(
        &self,
        text: Vec<u8>,
        name: &str,
    ) -> Result<Result<Checked, Failure>, AppError> {
        let name = name.to_owned();
        self.inner.checker.run(move || Ok(checked(text, &name))).await
    }
}

#[cfg(test)]
#[path = "fixes_tests.rs"]
mod tests;
