//! What is in the cache: entries with their size, last use and state, and what was left over.

use std::time::SystemTime;

use camino::Utf8PathBuf;

use super::{
    HousekeepingError,
    notes::{self, SUFFIXES},
};
use crate::{
    Cache,
    base::Base,
    cache::{EntryKind, PARTIAL, REMOVED, remove_anything, remove_entry},
};

/// An entry of the cache.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub kind: EntryKind,
    pub path: Utf8PathBuf,
    pub last_used: SystemTime,
    pub is_pinned: bool,
}

/// Something that is no entry: half made, or half removed.
#[derive(Debug, Clone)]
pub(super) struct Leftover {
    pub kind: EntryKind,
    pub path: Utf8PathBuf,
    /// The entry whose lock protects it.
    pub entry: Utf8PathBuf,
    /// When something was last added to it, as far as that shows.
    pub modified: SystemTime,
    pub state: State,
}

/// How something that is no entry came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// An entry is being made, or was given up.
    HalfMade,
    /// An entry's removal was interrupted.
    HalfRemoved,
    /// A file that gets its name when it is whole. No lock protects it: its name is nobody else's.
    Temporary,
}

/// How the names of files begin that get their own name when they are whole.
const TEMPORARY: &str = ".tmp";

/// All entries of a kind, and what is left over beside them.
pub(super) fn read(
    cache: &Cache,
    kind: EntryKind,
) -> Result<(Vec<Entry>, Vec<Leftover>), HousekeepingError> {
    let directory = cache.place_of(kind);
    let failed = HousekeepingError::io("read", directory.clone());
    let names: Result<Vec<_>, std::io::Error> = std::fs::read_dir(&directory)
        .and_then(|items| items.map(|item| Ok(item?.file_name())).collect());
    // Nothing of ours has a name that is not UTF-8.
    let names = names.map_err(failed)?.into_iter().filter_map(|name| name.into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    let is_directory = !matches!(kind, EntryKind::Package | EntryKind::Source);
    let (mut entries, mut leftovers) = (Vec::new(), Vec::new());
    for name in names {
        let path = directory.join(&name);
        if let Some((entry, is_removed)) = left_over(&name) {
            let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
            // It is gone already.
            let Ok(modified) = modified else { continue };
            let entry = directory.join(entry);
            let state = if is_removed { State::HalfRemoved } else { State::HalfMade };
            leftovers.push(Leftover { kind, path, entry, modified, state });
        } else if is_temporary(kind, &name) {
            let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
            let Ok(modified) = modified else { continue };
            let (entry, state) = (path.clone(), State::Temporary);
            leftovers.push(Leftover { kind, path, entry, modified, state });
        } else if !name.starts_with('.')
            && !name.ends_with(".lock")
            && !SUFFIXES.iter().any(|end| name.ends_with(end))
            // What somebody put there for himself.
            && (!is_directory || path.is_dir())
        {
            let (last_used, is_pinned) = (notes::last_used(&path), notes::is_pinned(&path));
            entries.push(Entry { kind, path, last_used, is_pinned });
        }
    }
    Ok((entries, leftovers))
}

/// Whether the name is that of a file that is written, or was left when its writer was killed. Lists of
/// digests (`DIGEST-PID.list`) and copies of kept packages (`PACKAGE.kept`) had names of their own once.
fn is_temporary(kind: EntryKind, name: &str) -> bool {
    let is_list = |name: &str| {
        let parts = name.strip_suffix(".list").and_then(|name| name.split_once('-'));
        parts.is_some_and(|(digest, process)| {
            digest.len() == 12
                && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
                && process.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    name.starts_with(TEMPORARY)
        || match kind {
            EntryKind::Package => name.ends_with(".deb.kept"),
            EntryKind::Source => is_list(name),
            EntryKind::AptIndex | EntryKind::Base | EntryKind::ToolchainRoot => false,
        }
}

/// Whether the name is that of something half made or half removed: the entry's name, and whether
/// it is half removed.
fn left_over(name: &str) -> Option<(&str, bool)> {
    if let Some(entry) = name.strip_suffix(REMOVED) {
        return Some((entry, true));
    }
    // Some have the number of the process that makes them behind it.
    let (entry, rest) = name.rsplit_once(PARTIAL)?;
    let is_number = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    (rest.is_empty() || rest.strip_prefix('-').is_some_and(is_number)).then_some((entry, false))
}

impl Entry {
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap_or_default()
    }

    /// What it takes on the disk, in bytes.
    pub fn bytes(&self) -> Result<u64, HousekeepingError> {
        let none = |_: &str| false;
        let bytes = match self.kind {
            EntryKind::Base => notes::disk_bytes(&self.path, "base.json", &Base::changes_later),
            EntryKind::ToolchainRoot => notes::disk_bytes(&self.path, "root.json", &none),
            EntryKind::AptIndex | EntryKind::Package | EntryKind::Source => {
                Ok(notes::bytes_below(&self.path))
            }
        };
        match bytes {
            // Somebody else removes it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            result => result.map_err(HousekeepingError::io("measure", self.path.clone())),
        }
    }

    /// Removes it, unless somebody uses or makes it, or pins it or has used it since this value was
    /// made.
    pub fn remove(&self, cache: &Cache) -> Result<(), HousekeepingError> {
        let (kind, name) = (self.kind, self.name().to_owned());
        let locked = cache.try_lock(&self.path);
        let locked = locked.map_err(HousekeepingError::io("lock", self.path.clone()))?;
        let Some(_alone) = locked else { return Err(HousekeepingError::InUse { kind, name }) };
        if notes::is_pinned(&self.path) {
            return Err(HousekeepingError::Pinned { kind, name });
        }
        if notes::last_used(&self.path) != self.last_used {
            return Err(HousekeepingError::InUse { kind, name });
        }
        let failed = |action| HousekeepingError::io(action, self.path.clone());
        remove_entry(&self.path).map_err(failed("remove"))?;
        notes::forget(&self.path).map_err(failed("forget"))
    }
}

/// The one entry whose name is, or begins with, `name`. Of a base also the digest at the end of its
/// name will do.
pub(super) fn find(
    entries: Vec<Entry>,
    kind: EntryKind,
    name: &str,
) -> Result<Entry, HousekeepingError> {
    if let Some(entry) = entries.iter().find(|entry| entry.name() == name) {
        return Ok(entry.clone());
    }
    let begins = |entry: &&Entry| {
        let digest = entry.name().rsplit_once('-').map(|(_, digest)| digest);
        entry.name().starts_with(name)
            || (kind == EntryKind::Base && digest.is_some_and(|digest| digest.starts_with(name)))
    };
    let names = |entries: &[&Entry]| entries.iter().map(|entry| entry.name().to_owned()).collect();
    let matches: Vec<&Entry> = entries.iter().filter(begins).collect();
    match matches[..] {
        [entry] if !name.is_empty() => Ok(entry.clone()),
        [_, _, ..] if !name.is_empty() => {
            Err(HousekeepingError::Ambiguous { name: name.to_owned(), matches: names(&matches) })
        }
        _ => {
            let known = names(&entries.iter().collect::<Vec<_>>());
            Err(HousekeepingError::Unknown { kind, name: name.to_owned(), known })
        }
    }
}

/// The one entry that is to be removed: `name` is its whole name. Of a base also the digest at the end of
/// the name will do, or a beginning that holds the release: `6` is a slip.
pub(super) fn find_to_remove(
    entries: Vec<Entry>,
    kind: EntryKind,
    name: &str,
) -> Result<Entry, HousekeepingError> {
    let says_which = |entry: &&Entry| {
        let parts = entry.name().rsplit_once('-').filter(|_| kind == EntryKind::Base);
        entry.name() == name
            || parts.is_some_and(|(release, digest)| {
                name == digest || (name.len() >= release.len() && entry.name().starts_with(name))
            })
    };
    let matches: Vec<Entry> = entries.iter().filter(says_which).cloned().collect();
    if !matches.is_empty() {
        return find(matches, kind, name);
    }
    let names = match find(entries, kind, name) {
        Ok(entry) => vec![entry.name().to_owned()],
        Err(HousekeepingError::Ambiguous { matches, .. }) => matches,
        Err(error) => return Err(error),
    };
    Err(HousekeepingError::TooShort { kind, name: name.to_owned(), matches: names })
}

/// The time for people and programs.
pub(super) fn timestamp(time: SystemTime) -> jiff::Timestamp {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    // Nobody needs more.
    timestamp.round(jiff::Unit::Second).unwrap_or(timestamp)
}

impl Leftover {
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap_or_default()
    }

    pub fn bytes(&self) -> u64 {
        notes::bytes_below(&self.path)
    }

    /// Removes it, unless somebody works on it; says whether it did.
    pub fn remove(&self, cache: &Cache) -> Result<bool, HousekeepingError> {
        let _alone = match self.state {
            State::Temporary => None,
            State::HalfMade | State::HalfRemoved => {
                let locked = cache.try_lock(&self.entry);
                let locked = locked.map_err(HousekeepingError::io("lock", self.entry.clone()))?;
                if locked.is_none() {
                    return Ok(false);
                }
                locked
            }
        };
        remove_anything(&self.path).map_err(HousekeepingError::io("remove", self.path.clone()))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    #[test]
    fn what_is_left_over_is_known_by_its_name() {
        assert_eq!(left_over("6.1-abc.partial"), Some(("6.1-abc", false)));
        assert_eq!(left_over("72863ca1c282.partial-17"), Some(("72863ca1c282", false)));
        assert_eq!(left_over("6.1-abc.removed"), Some(("6.1-abc", true)));
        assert_eq!(left_over("6.1-abc"), None);
        assert_eq!(left_over("6.1.partially-abc"), None);
    }

    #[test]
    fn files_that_are_being_written_are_known_by_their_names() {
        let is = is_temporary;
        assert!(is(EntryKind::Base, ".tmpAbC"));
        assert!(is(EntryKind::Source, "72863ca1c282-1701.list"));
        assert!(is(EntryKind::Package, "linux-image-6.1_6.1.1_amd64.deb.kept"));
        for name in ["tarball-72863ca1c282-x-6.list", "72863ca1c282-x.list", "72863ca1c282"] {
            assert!(!is(EntryKind::Source, name), "{name}");
        }
        assert!(!is(EntryKind::Base, "72863ca1c282-1701.list"));
        assert!(!is(EntryKind::Package, "linux-image-6.1_6.1.1_amd64.deb"));
    }

    #[test]
    fn what_is_removed_is_named_whole_by_its_digest_or_with_its_release() {
        let entries = |kind: EntryKind, names: &[&str]| -> Vec<Entry> {
            let entry = |name: &&str| Entry {
                kind,
                path: Utf8Path::new("/cache").join(name),
                last_used: SystemTime::UNIX_EPOCH,
                is_pinned: false,
            };
            names.iter().map(entry).collect()
        };
        let base = |name: &str| {
            let there = ["6.1.0-50-91477d", "6.1.0-5-04ab", "6.12.1-0aaa"];
            let found = find_to_remove(entries(EntryKind::Base, &there), EntryKind::Base, name);
            found.map(|entry| entry.name().to_owned()).map_err(|error| error.to_string())
        };
        for name in ["6.1.0-50-91477d", "91477d", "6.1.0-50-9", "6.1.0-50"] {
            assert_eq!(base(name).as_deref(), Ok("6.1.0-50-91477d"), "{name}");
        }
        // Also the beginning of the other's release.
        assert_eq!(base("6.1.0-5").as_deref(), Ok("6.1.0-5-04ab"));
        for name in ["6.12", "0a", "0aa"] {
            let told = format!("{name} is too short to remove a base by it: 6.12.1-0aaa");
            assert_eq!(base(name), Err(told));
        }
        assert!(base("6").expect_err("a slip").contains("6.1.0-5-04ab, 6.12.1-0aaa"));
        assert_eq!(base("7"), Err("there is no base 7".to_owned()));
        assert_eq!(base(""), Err("there is no base ".to_owned()));
        let root = |name: &str| {
            let kind = EntryKind::ToolchainRoot;
            find_to_remove(entries(kind, &["debian-12-gcc-12"]), kind, name)
        };
        root("debian-12-gcc-12").expect("its name");
        for name in ["debian-12", "debian-12-gcc", "debian-12-gcc-1", "12"] {
            root(name).expect_err("cut");
        }
    }

    #[test]
    fn name_may_be_cut_as_long_as_it_says_which_one() {
        let entry = |name: &str| Entry {
            kind: EntryKind::Base,
            path: Utf8Path::new("/bases").join(name),
            last_used: SystemTime::UNIX_EPOCH,
            is_pinned: false,
        };
        let all = || vec![entry("6.1.0-50-91477d"), entry("6.1.0-5-04ab"), entry("6.1.0-50-0aaa")];
        let found = |name: &str| find(all(), EntryKind::Base, name).map(|e| e.name().to_owned());
        assert_eq!(found("6.1.0-50-91").expect("one"), "6.1.0-50-91477d");
        assert_eq!(found("91").expect("its digest"), "6.1.0-50-91477d");
        let error = found("6.1.0-50").expect_err("two");
        assert_eq!(error.to_string(), "6.1.0-50 may be any of 6.1.0-50-91477d, 6.1.0-50-0aaa");
        for name in ["7", ""] {
            let error = found(name).expect_err("none");
            assert!(matches!(error, HousekeepingError::Unknown { .. }), "{error}");
            assert!(error.hint().contains("6.1.0-5-04ab"), "{}", error.hint());
        }
    }
}
