//! The CVE feed: reading it into the store, and telling how old it is.

use std::{path::Path, sync::Arc, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_cve::feed::{
    self, Extent, FeedError as ReadError, FeedMirror, GitError, PARSER, Snapshot, SpoolError,
    shown_source,
};
use elivepatch_model::with_causes;
use elivepatch_store::{FeedChange, FeedCounts, FeedExtent, FeedState, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{App, AppError, bundle::is_imported, now};
use crate::config::DEFAULT_STALE_DAYS;

/// The chore that reads the feed.
const CHORE: &str = "update-feed";

/// A feed with fewer records than this may lose any number of them at once: it is somebody's own.
const SMALL_FEED: u64 = 100;

/// How old a feed may be when the config names none: as where it says nothing of that.
pub const STALE_AFTER: Duration = Duration::from_secs(DEFAULT_STALE_DAYS as u64 * 24 * 3600);

/// Where the feed comes from, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedOptions {
    /// The address of a git repository, or a directory, a local clone, or a tarball.
    pub source: String,
    /// Where a repository is mirrored; safe to delete.
    pub mirror: Utf8PathBuf,
    /// How often it is read.
    pub every: Duration,
    /// How old its data is, or how long ago it was read, when it is called stale.
    pub stale_after: Duration,
}

/// What reading the feed came to.
#[derive(Debug, Clone, Serialize)]
pub struct FeedUpdate {
    /// What changed.
    pub change: FeedChange,
    /// What there is now.
    pub counts: FeedCounts,
    /// How long it took, in seconds, the network included.
    pub seconds: f64,
}

/// The feed as it is now.
#[derive(Debug, Clone, Serialize)]
pub struct FeedStatus {
    /// Where it came from when it was read last.
    pub source: String,
    /// The commit that was read.
    pub revision: Option<String>,
    /// How old its data is.
    pub data_at: Timestamp,
    /// When it was read.
    pub read_at: Timestamp,
    /// When something in it was last another one than before.
    pub changed_at: Timestamp,
    /// What there is.
    #[serde(flatten)]
    pub counts: FeedCounts,
    /// Whether its data is too old, or it was not read for too long.
    pub is_stale: bool,
    /// Whether it was imported: this server has read it nowhere.
    pub is_imported: bool,
    /// Whether a version of elivepatch read it that reads other things of the records.
    pub is_outdated: bool,
}

/// Why the feed could not be read. What was read before stays.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The repository cannot be used.
    #[error("the CVE feed cannot be read from {from}")]
    Git {
        /// Where it comes from.
        from: String,
        /// What went wrong.
        #[source]
        source: GitError,
    },
    /// The directory or tarball cannot be used.
    #[error("the CVE feed cannot be read")]
    Read(#[source] ReadError),
    /// What was read cannot be kept until all of it is there.
    #[error("the CVE feed cannot be read")]
    Spool(#[source] SpoolError),
    /// Most records would be gone or cannot be used any more: it is another place than it was.
    #[error("{lost} of {before} CVE records are gone from {from}, or cannot be used any more")]
    Shrunk {
        /// Where it comes from.
        from: String,
        /// Records in the store.
        before: u64,
        /// Records that would be lost.
        lost: u64,
    },
    /// The records cannot be kept.
    #[error("the CVE feed cannot be kept")]
    Store(#[from] StoreError),
    /// A thread ended before its work.
    #[error("reading the CVE feed broke off")]
    Broken,
}

impl From<ReadError> for FeedError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Spool(error) => Self::Spool(error),
            error => Self::Read(error),
        }
    }
}

impl FeedError {
    fn git(from: &str, error: GitError) -> Self {
        match error {
            GitError::Spool(error) => Self::Spool(error),
            source => Self::Git { from: from.to_owned(), source },
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Git { source: GitError::Run(_), .. } => "apt-get install git",
            Self::Git { source: GitError::Mirror { .. }, .. } => "look at the disk of the cache",
            Self::Git { .. } => {
                "check the network, and source in the [feed] section of the server's config; what was read \
                 before is used until then"
            }
            Self::Read(_) => {
                "name the directory with published/ and rejected/ in it, or a tarball of it, as source in \
                 the [feed] section of the server's config"
            }
            Self::Spool(_) => "make room there, or name another directory in TMPDIR",
            Self::Shrunk { .. } => {
                "look whether source in the [feed] section of the server's config is the right place; \
                 `elivepatch-server feed update --force` takes it as it is"
            }
            Self::Store(_) | Self::Broken => "look at the disk of the data directory",
        }
    }
}

/// What was read.
struct Reading {
    snapshot: Snapshot,
    extent: FeedExtent,
    revision: Option<String>,
}

/// Reads the feed and takes over what has changed. With `force` also one that has lost most of its
/// records.
///
/// # Errors
/// When it cannot be read or kept. What was there before stays.
pub async fn update_feed(
    store: &Store,
    options: &FeedOptions,
    force: bool,
) -> Result<FeedUpdate, FeedError> {
    let began = std::time::Instant::now();
    let before = store.feed_state().await?;
    let source = shown_source(&options.source);
    let before = before.filter(|state| state.source == source && state.parser == PARSER);
    let known = before.and_then(|state| state.revision);
    let shared = Arc::new(options.clone());
    let reading = tokio::task::spawn_blocking(move || read(&shared, known)).await;
    let Reading { snapshot, extent, revision } = reading.map_err(|_| FeedError::Broken)??;
    if !force && let Some((lost, before)) = shrinks(store, &snapshot, extent).await? {
        return Err(FeedError::Shrunk { from: source, before, lost });
    }
    let time = now();
    // What comes from the future is from now: its clock is wrong.
    let newest = snapshot.newest.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let data_at = newest.map_or(time, |newest| newest.min(time));
    let (parser, read_at, changed_at) = (PARSER, time, time);
    let state = FeedState { source, revision, parser, data_at, read_at, changed_at };
    let change = store.apply_feed(&snapshot, extent, &state).await?;
    let counts = store.feed_counts().await?;
    Ok(FeedUpdate { change, counts, seconds: began.elapsed().as_secs_f64() })
}

/// How many records would be lost of how many, when that is most of them: it is another feed than it was.
///
/// # Errors
/// When the store fails.
pub(super) async fn shrinks(
    store: &Store,
    snapshot: &Snapshot,
    extent: FeedExtent,
) -> Result<Option<(u64, u64)>, StoreError> {
    let lost = store.feed_losses(snapshot, extent).await?;
    let counts = store.feed_counts().await?;
    let before = counts.published + counts.rejected;
    Ok((before >= SMALL_FEED && lost * 2 > before).then_some((lost, before)))
}

/// How old the feed in a store is; `None` when none was read yet.
///
/// # Errors
/// When the store fails.
pub async fn feed_status(
    store: &Store,
    stale_after: Duration,
) -> Result<Option<FeedStatus>, StoreError> {
    let Some((state, counts)) = store.feed().await? else { return Ok(None) };
    let FeedState { source, revision, parser, data_at, read_at, changed_at } = state;
    let is_imported = is_imported(&source);
    let is_outdated = parser != PARSER;
    let is_stale = is_older(data_at, stale_after) || is_older(read_at, stale_after);
    Ok(Some(FeedStatus {
        source,
        revision,
        data_at,
        read_at,
        changed_at,
        counts,
        is_stale,
        is_imported,
        is_outdated,
    }))
}

fn is_older(time: Timestamp, limit: Duration) -> bool {
    let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
    now().duration_since(time) > limit
}

/// Reads the feed, of a repository only what is another than at the known commit.
fn read(options: &FeedOptions, known: Option<String>) -> Result<Reading, FeedError> {
    if !is_repository(&options.source) {
        let snapshot = feed::read(Path::new(&options.source))?;
        return Ok(Reading { snapshot, extent: FeedExtent::Whole, revision: None });
    }
    let shown = shown_source(&options.source);
    let failed = |error| FeedError::git(&shown, error);
    let mirror = FeedMirror::open(options.mirror.as_std_path()).map_err(failed)?;
    let commit = mirror.fetch(&options.source).map_err(failed)?;
    if let Some(known) = known {
        // A mirror that was deleted does not have it any more.
        if let Ok(snapshot) = mirror.read(&commit, &Extent::Since(known)) {
            let extent = FeedExtent::Changes;
            return Ok(Reading { snapshot, extent, revision: Some(commit) });
        }
    }
    let (commit, snapshot) = match mirror.read(&commit, &Extent::Whole) {
        // What was just fetched is not there: the mirror is broken.
        Err(GitError::Failed { .. }) => {
            let commit = mirror.fetch_anew(&options.source).map_err(failed)?;
            let snapshot = mirror.read(&commit, &Extent::Whole).map_err(failed)?;
            (commit, snapshot)
        }
        read => (commit, read.map_err(failed)?),
    };
    if snapshot.entries.is_empty() {
        return Err(FeedError::Read(ReadError::Empty { path: shown.into() }));
    }
    Ok(Reading { snapshot, extent: FeedExtent::Whole, revision: Some(commit) })
}

fn is_repository(source: &str) -> bool {
    let path = Utf8Path::new(source);
    source.contains("://") || path.join(".git").exists() || path.join("objects").is_dir()
}

impl App {
    /// The feed as it is now; `None` when none was read yet.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn feed(&self) -> Result<Option<FeedStatus>, AppError> {
        let options = &self.inner.options;
        // What was imported has an age as well, without a source in the config.
        let of_source = options.feed.as_ref().map(|options| options.stale_after);
        let stale_after = options.cve.stale_after.or(of_source).unwrap_or(STALE_AFTER);
        Ok(feed_status(self.store(), stale_after).await?)
    }

    /// Reads the feed when the last time is long enough ago: also a server that is started often does
    /// it no more often. The outcome is how many records changed.
    pub(super) async fn run_update_feed(&self, options: &FeedOptions) {
        let state = self.store().feed_state().await;
        let is_due = match &state {
            Ok(Some(state)) => {
                state.source != shown_source(&options.source)
                    || state.parser != PARSER
                    || is_older(state.read_at, options.every)
            }
            Ok(None) | Err(_) => true,
        };
        if !is_due {
            // `feed update` has read it since: what went wrong before is over.
            if self.chores().iter().any(|chore| chore.name == CHORE && chore.outcome.is_err()) {
                self.record_chore(CHORE, Ok(0));
            }
            return;
        }
        let outcome = update_feed(self.store(), options, false).await;
        let outcome = outcome
            .map(|FeedUpdate { change, .. }| change.added + change.changed + change.removed)
            .map_err(|error| format!("{}; {}", with_causes(&error), error.hint()));
        self.record_chore(CHORE, outcome);
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
