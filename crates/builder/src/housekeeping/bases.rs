use elivepatch_model::{BaseKind, KernelRelease};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    HousekeepingError,
    entries::{self, Entry, timestamp},
    notes, remove,
};
use crate::{Cache, base::Base, cache::EntryKind};

/// A base in the cache, as `base list` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct ListedBase {
    /// Its name in the cache.
    pub name: String,
    /// The release of its kernel; absent when the base is damaged.
    pub release: Option<KernelRelease>,
    /// Whether it was prepared or built; absent when the base is damaged.
    pub kind: Option<BaseKind>,
    /// The beginning of the digest of what it was made from.
    pub digest: String,
    /// What it takes on the disk, in bytes, with the originals that builds left beside it.
    pub bytes: u64,
    /// When a build used it last.
    pub last_used: Timestamp,
    /// Whether it stays whatever the disk budget says.
    pub pinned: bool,
    /// Whether a build uses it now.
    pub in_use: bool,
}

/// The bases in the cache, those that were used last first.
///
/// # Errors
/// When the cache cannot be read.
pub fn list_bases(cache: &Cache) -> Result<Vec<ListedBase>, HousekeepingError> {
    let mut found = entries::read(cache, EntryKind::Base)?.0;
    found.sort_by_key(|entry| std::cmp::Reverse(entry.last_used));
    found.iter().map(|entry| listed(cache, entry)).collect()
}

fn listed(cache: &Cache, entry: &Entry) -> Result<ListedBase, HousekeepingError> {
    let facts = Base::peek(&entry.path);
    let name = entry.name().to_owned();
    Ok(ListedBase {
        digest: name.rsplit_once('-').map(|(_, digest)| digest.to_owned()).unwrap_or_default(),
        name,
        kind: facts.as_ref().map(|facts| facts.source.base_kind()),
        release: facts.map(|facts| facts.release),
        bytes: entry.bytes()?,
        last_used: timestamp(entry.last_used),
        pinned: entry.is_pinned,
        in_use: cache.is_in_use(&entry.path),
    })
}

/// Pins the base with this name, or unpins it; a name may be cut. Gives its whole name.
///
/// # Errors
/// When there is no such base, or several, or the note cannot be written.
pub fn pin_base(cache: &Cache, name: &str, pinned: bool) -> Result<String, HousekeepingError> {
    let entry = find(cache, name)?;
    notes::pin(&entry.path, pinned).map_err(HousekeepingError::io("pin", entry.path.clone()))?;
    Ok(entry.name().to_owned())
}

/// Removes the base with this name, which may be cut behind the release, or with this digest. Gives its
/// whole name, and the bytes that it took.
///
/// # Errors
/// When there is no such base, or several, or it is in use or pinned, or it cannot be removed.
pub fn remove_base(cache: &Cache, name: &str) -> Result<(String, u64), HousekeepingError> {
    remove(cache, EntryKind::Base, name)
}

fn find(cache: &Cache, name: &str) -> Result<Entry, HousekeepingError> {
    let entries = entries::read(cache, EntryKind::Base)?.0;
    entries::find(entries, EntryKind::Base, name)
}
