//! What may be in a tarball of a kernel's source. It is read here before tar unpacks it.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek},
};

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};
use tar::EntryType;

use super::{
    rules::{fault_of_link, fault_of_path},
    walk::{ENTRIES, refuse},
};

/// The most that the files of a tarball may have together, in bytes. Linux 7.3 has 1.7 GB.
const BYTES: u64 = 16 << 30;

/// What an entry is, as far as later entries have to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Directory,
    File,
    Link,
}

/// Reads an uncompressed tarball and refuses what is not to be unpacked. `name` is the tarball's
/// name for people.
///
/// # Errors
/// `source-unusable`, naming the member.
pub(super) fn check(tarball: impl Read + Seek, name: &Utf8Path) -> Result<(), Failure> {
    let unreadable = |error: io::Error| {
        Failure::new(
            FailureClass::SourceUnusable,
            format!("{name} is no tarball that can be read: {error}"),
            "put the source there again; `tar --list --file` shows whether it is whole",
        )
    };
    let mut archive = tar::Archive::new(tarball);
    let mut scan = Scan { name, top: None, seen: BTreeMap::new(), bytes: 0 };
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let header = entry.header().clone();
        if header.entry_type() == EntryType::XGlobalHeader {
            // git puts the commit there.
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let link = entry.link_name_bytes().map(|target| target.into_owned());
        // A file of the GNU or PAX kind may have its true size elsewhere than in its header.
        let size = entry.size();
        let attributes = entry.pax_extensions().map_err(unreadable)?;
        let sparse = attributes
            .into_iter()
            .flatten()
            .flatten()
            .any(|attribute| attribute.key().is_ok_and(|key| key.starts_with("GNU.sparse")));
        let kind = if sparse { EntryType::GNUSparse } else { header.entry_type() };
        let mode = header.mode().map_err(unreadable)?;
        scan.member(&path, kind, mode, size, link.as_deref())?;
    }
    if scan.seen.is_empty() {
        return Err(unreadable(io::Error::other("it is empty")));
    }
    Ok(())
}

struct Scan<'a> {
    name: &'a Utf8Path,
    /// The one directory at the top.
    top: Option<String>,
    /// All entries below it by their paths.
    seen: BTreeMap<String, Seen>,
    bytes: u64,
}

impl Scan<'_> {
    fn member(
        &mut self,
        raw: &[u8],
        kind: EntryType,
        mode: u32,
        size: u64,
        link: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let shown = String::from_utf8_lossy(raw).into_owned();
        let refused = |fault: &str| Err(refuse(self.name, &shown, fault));
        let Ok(full) = std::str::from_utf8(raw) else {
            return refused("has a name that is not UTF-8");
        };
        let full = full.strip_suffix('/').unwrap_or(full);
        let full = full.strip_prefix("./").unwrap_or(full);
        if full == "." {
            return Ok(());
        }
        if let Some(fault) = fault_of_path(full) {
            return refused(fault);
        }
        let (top, path) = full.split_once('/').unwrap_or((full, ""));
        match &self.top {
            Some(known) if known != top => {
                return refused(&format!("is not below {known}/, the one directory at the top"));
            }
            Some(_) => {}
            None => self.top = Some(top.to_owned()),
        }
        if path.is_empty() {
            return match kind {
                EntryType::Directory => Ok(()),
                _ => refused("is not below a directory at the top"),
            };
        }
        let seen = match kind {
            EntryType::Directory => Seen::Directory,
            EntryType::Regular | EntryType::Continuous => Seen::File,
            EntryType::Symlink => {
                let target = link.and_then(|target| std::str::from_utf8(target).ok());
                if let Some(fault) = fault_of_link(path, target.unwrap_or_default()) {
                    return refused(fault);
                }
                Seen::Link
            }
            EntryType::Link => {
                let target = link.and_then(|target| std::str::from_utf8(target).ok());
                let target = target.map(|target| target.strip_prefix("./").unwrap_or(target));
                let inside = target.and_then(|target| target.strip_prefix(top)?.strip_prefix('/'));
                let known = inside.and_then(|target| self.seen.get(target));
                if known != Some(&Seen::File) {
                    return refused("is a hard link to what is no file of the tarball before it");
                }
                Seen::File
            }
            EntryType::Block | EntryType::Char => return refused("is a device node"),
            EntryType::Fifo => return refused("is a pipe"),
            _ => return refused("is of a kind that no source tree has"),
        };
        if mode & 0o6000 != 0 {
            return refused("is setuid or setgid");
        }
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            if self.seen.get(parent).is_some_and(|seen| *seen != Seen::Directory) {
                return refused("goes through what is no directory");
            }
            above = parent;
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > BYTES {
            return refused("makes it larger than any kernel's source");
        }
        if self.seen.len() >= ENTRIES {
            return refused("is one entry too many for a kernel tree");
        }
        match self.seen.insert(path.to_owned(), seen) {
            None => Ok(()),
            Some(before) if before == Seen::Directory && seen == Seen::Directory => Ok(()),
            Some(_) => Err(refuse(self.name, &shown, "is there twice")),
        }
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
