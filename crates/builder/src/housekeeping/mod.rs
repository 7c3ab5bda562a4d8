//! Looking after the cache: what is in it and how large, what stays and what goes.
//!
//! Everything here goes by the locks of [`crate::Cache`]: what somebody uses or makes is never
//! removed, by whichever server or command. What is removed is renamed first, so that an
//! interruption leaves either the whole entry or something that is no entry any more.

mod bases;
mod entries;
mod error;
mod notes;
mod sweep;
#[cfg(test)]
mod tests;

pub use bases::{ListedBase, list_bases, pin_base, remove_base};
pub use error::HousekeepingError;
pub(crate) use notes::mark_used;
pub use sweep::{KeptEntry, RemovedEntry, Sweep, SweepReason, Swept};

use jiff::Timestamp;

use crate::{Cache, EntryKind};

/// An entry of the cache, of whatever kind.
#[derive(Debug)]
pub(crate) struct CacheEntry {
    pub name: String,
    pub bytes: u64,
    pub last_used: Timestamp,
    pub in_use: bool,
}

/// The entries of a kind.
pub(crate) fn list(cache: &Cache, kind: EntryKind) -> Result<Vec<CacheEntry>, HousekeepingError> {
    let listed = |entry: &entries::Entry| {
        Ok(CacheEntry {
            name: entry.name().to_owned(),
            bytes: entry.bytes()?,
            last_used: entries::timestamp(entry.last_used),
            in_use: cache.is_in_use(&entry.path),
        })
    };
    entries::read(cache, kind)?.0.iter().map(listed).collect()
}

/// What all of the cache takes on the disk, in bytes: entries, what was left over, and the mirror of the feed.
///
/// # Errors
/// When the cache cannot be read.
pub fn cache_bytes(cache: &Cache) -> Result<u64, HousekeepingError> {
    let mut bytes = notes::bytes_below(&cache.feed_mirror());
    for kind in EntryKind::ALL {
        let (entries, leftovers) = entries::read(cache, kind)?;
        for entry in entries {
            bytes += entry.bytes()?;
        }
        bytes += leftovers.iter().map(entries::Leftover::bytes).sum::<u64>();
    }
    Ok(bytes)
}

/// Removes the entry with this name; that of a base may be cut behind its release. Gives its whole name,
/// and the bytes that it took.
pub(crate) fn remove(
    cache: &Cache,
    kind: EntryKind,
    name: &str,
) -> Result<(String, u64), HousekeepingError> {
    let entry = entries::find_to_remove(entries::read(cache, kind)?.0, kind, name)?;
    let bytes = entry.bytes()?;
    entry.remove(cache)?;
    Ok((entry.name().to_owned(), bytes))
}
