//! Cleaning the cache: what nobody needs, and what is over the disk budget.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    HousekeepingError,
    entries::{self, Entry, Leftover, State, timestamp},
    notes,
};
use crate::{Cache, cache::EntryKind};

/// How long something half made rests before the server takes it for abandoned by itself. A kernel
/// whose build was interrupted goes on with what is there, and a download too.
const HALF_MADE_RESTS: Duration = Duration::from_secs(24 * 3600);

/// How long a toolchain root that no recipe names rests before the server removes it by itself:
/// another server that shares the cache may have the recipe.
const ROOT_RESTS: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long an index of apt's that no source names rests before it is removed: another server that shares
/// the cache may name it. It is fetched again when it is needed.
const INDEX_RESTS: Duration = Duration::from_secs(7 * 24 * 3600);

/// What takes less is not worth being evicted, in bytes.
const LEAST_BYTES: u64 = 1 << 20;

/// How to clean.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// What the cache may take, in bytes; absent: as much as there is.
    pub budget_bytes: Option<u64>,
    /// The names of the toolchain roots that recipes name.
    pub recipes: Vec<String>,
    /// The names of apt's indexes that the options lead to, as [`crate::index_names`] gives them.
    pub indexes: Vec<String>,
    /// Whether what nobody holds goes at once, however new it is.
    pub at_once: bool,
    /// Whether nothing is removed and only said what would be.
    pub dry_run: bool,
}

/// What was cleaned.
#[derive(Debug, Clone, Serialize)]
pub struct Swept {
    /// What was removed, in this order; in a dry run what would be.
    pub removed: Vec<RemovedEntry>,
    /// What the removed entries took, in bytes.
    pub freed_bytes: u64,
    /// What all that is left takes, in bytes.
    pub left_bytes: u64,
    /// What the cache may take, in bytes.
    pub budget_bytes: Option<u64>,
    /// What could not be removed though it should, with the reason.
    pub kept: Vec<KeptEntry>,
}

/// Something that was removed from the cache.
#[derive(Debug, Clone, Serialize)]
pub struct RemovedEntry {
    /// What it was.
    pub kind: EntryKind,
    /// Its name.
    pub name: String,
    /// What it took, in bytes.
    pub bytes: u64,
    /// When it was used last.
    pub last_used: Timestamp,
    /// Why it was removed.
    pub reason: SweepReason,
}

/// Why something is removed from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SweepReason {
    /// Its removal was interrupted.
    HalfRemoved,
    /// It was given up half made.
    HalfMade,
    /// It is a toolchain root that no recipe names.
    NoRecipe,
    /// It is an index of apt's that no source names, and was not used for a week.
    NoSource,
    /// The cache took more than its budget, and all else was used later.
    OverBudget,
}

impl std::fmt::Display for SweepReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::HalfRemoved => "its removal was interrupted",
            Self::HalfMade => "given up half made",
            Self::NoRecipe => "no recipe names it",
            Self::NoSource => "no source names it, and it was not used for a week",
            Self::OverBudget => "over the disk budget, and not used for the longest time",
        })
    }
}

/// Something that should have been removed and was not.
#[derive(Debug, Clone, Serialize)]
pub struct KeptEntry {
    /// What it is.
    pub kind: EntryKind,
    /// Its name.
    pub name: String,
    /// Why it stays.
    pub reason: String,
}

impl Swept {
    /// Says in the log what was removed, and whether the budget is kept.
    pub fn log(&self) {
        for entry in &self.removed {
            let RemovedEntry { kind, name, bytes, reason, .. } = entry;
            tracing::info!(%name, bytes, %reason, "removed a {kind} from the cache");
        }
        let over_budget_bytes = self.over_budget_bytes();
        if over_budget_bytes > 0 {
            tracing::warn!(
                over_budget_bytes,
                "the cache takes more than its disk budget: all that is left is in use, pinned, a \
                 toolchain root, an index of apt's or the mirror of the feed"
            );
        }
    }

    /// By how many bytes the cache is still over its budget.
    pub fn over_budget_bytes(&self) -> u64 {
        self.budget_bytes.map_or(0, |budget| self.left_bytes.saturating_sub(budget))
    }
}

impl Sweep {
    /// Cleans the cache. What somebody uses or makes stays, and so does what is pinned.
    ///
    /// # Errors
    /// When the cache cannot be read. An entry that cannot be removed is no error: it is kept, with
    /// the reason.
    pub fn run(&self, cache: &Cache) -> Result<Swept, HousekeepingError> {
        // Two at a time would each remove enough for both.
        let place = cache.directory().join("sweep");
        let _alone = match self.dry_run {
            true => None,
            false => {
                let lock = cache.wait_for(&place);
                Some(lock.map_err(HousekeepingError::io("lock", place))?)
            }
        };
        let mut run = Run { sweep: self, cache, swept: Swept::nothing(self.budget_bytes) };
        run.swept.left_bytes += notes::bytes_below(&cache.feed_mirror());
        let mut evictable = Vec::new();
        for kind in EntryKind::ALL {
            let (entries, leftovers) = entries::read(cache, kind)?;
            for leftover in leftovers {
                run.leftover(&leftover);
            }
            for entry in entries {
                let bytes = match entry.bytes() {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        run.kept(kind, entry.name(), told(&error));
                        continue;
                    }
                };
                run.swept.left_bytes += bytes;
                match kind {
                    EntryKind::ToolchainRoot if run.is_without_recipe(&entry) => {
                        run.entry(&entry, bytes, SweepReason::NoRecipe);
                    }
                    EntryKind::AptIndex if run.is_without_source(&entry) => {
                        run.entry(&entry, bytes, SweepReason::NoSource);
                    }
                    EntryKind::ToolchainRoot | EntryKind::AptIndex => {}
                    _ if bytes >= LEAST_BYTES => evictable.push((entry, bytes)),
                    _ => {}
                }
            }
        }
        evictable.sort_by_key(|(entry, _)| entry.last_used);
        for (entry, bytes) in evictable {
            if run.swept.over_budget_bytes() == 0 {
                break;
            }
            run.entry(&entry, bytes, SweepReason::OverBudget);
        }
        Ok(run.swept)
    }
}

impl Swept {
    fn nothing(budget_bytes: Option<u64>) -> Self {
        let (removed, kept) = Default::default();
        Self { removed, freed_bytes: 0, left_bytes: 0, budget_bytes, kept }
    }
}

struct Run<'a> {
    sweep: &'a Sweep,
    cache: &'a Cache,
    swept: Swept,
}

impl Run<'_> {
    fn leftover(&mut self, leftover: &Leftover) {
        let bytes = leftover.bytes();
        self.swept.left_bytes += bytes;
        let rests = SystemTime::now().duration_since(leftover.modified).unwrap_or_default();
        let is_due = match leftover.state {
            State::HalfRemoved => true,
            State::HalfMade => self.sweep.at_once || rests >= HALF_MADE_RESTS,
            // Nothing says whether somebody writes it.
            State::Temporary => rests >= HALF_MADE_RESTS,
        };
        if !is_due {
            return;
        }
        let is_gone = match self.sweep.dry_run {
            true => Ok(!self.cache.is_in_use(&leftover.entry)),
            false => leftover.remove(self.cache),
        };
        match is_gone {
            Ok(true) => {
                let reason = match leftover.state {
                    State::HalfRemoved => SweepReason::HalfRemoved,
                    State::HalfMade | State::Temporary => SweepReason::HalfMade,
                };
                let name = leftover.name().to_owned();
                self.removed(leftover.kind, name, bytes, leftover.modified, reason);
            }
            Ok(false) => {}
            // The budget is kept all the same.
            Err(error) => self.kept(leftover.kind, leftover.name(), told(&error)),
        }
    }

    fn kept(&mut self, kind: EntryKind, name: &str, reason: String) {
        self.swept.kept.push(KeptEntry { kind, name: name.to_owned(), reason });
    }

    fn is_without_recipe(&self, entry: &Entry) -> bool {
        let rests = SystemTime::now().duration_since(entry.last_used).unwrap_or_default();
        !self.sweep.recipes.iter().any(|name| name == entry.name())
            && (self.sweep.at_once || rests >= ROOT_RESTS)
    }

    /// Whether it is an index that another one has taken the place of. Not even when all is to go at once
    /// one that was used lately: a command with other options may come back to it.
    fn is_without_source(&self, entry: &Entry) -> bool {
        let rests = SystemTime::now().duration_since(entry.last_used).unwrap_or_default();
        !self.sweep.indexes.iter().any(|name| name == entry.name()) && rests >= INDEX_RESTS
    }

    /// Removes an entry; one that is in use or pinned stays.
    fn entry(&mut self, entry: &Entry, bytes: u64, reason: SweepReason) {
        let removed = match self.sweep.dry_run {
            true if entry.is_pinned => Err("it is pinned".to_owned()),
            true if self.cache.is_in_use(&entry.path) => Err("it is in use".to_owned()),
            true => Ok(()),
            false => entry.remove(self.cache).map_err(|error| match error {
                HousekeepingError::Pinned { .. } => "it is pinned".to_owned(),
                HousekeepingError::InUse { .. } => "it is in use".to_owned(),
                error => told(&error),
            }),
        };
        let name = entry.name().to_owned();
        match removed {
            Ok(()) => self.removed(entry.kind, name, bytes, entry.last_used, reason),
            Err(reason) => self.kept(entry.kind, &name, reason),
        }
    }

    fn removed(
        &mut self,
        kind: EntryKind,
        name: String,
        bytes: u64,
        last_used: SystemTime,
        reason: SweepReason,
    ) {
        self.swept.freed_bytes += bytes;
        self.swept.left_bytes = self.swept.left_bytes.saturating_sub(bytes);
        let last_used = timestamp(last_used);
        self.swept.removed.push(RemovedEntry { kind, name, bytes, last_used, reason });
    }
}

fn told(error: &HousekeepingError) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}
