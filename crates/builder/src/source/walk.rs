//! A walk through a directory that others may change meanwhile: no symbolic link is followed, and
//! nothing but directories, regular files and links is accepted.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};

use super::rules::{fault_of_link, fault_of_path};

/// The deepest directory; a kernel tree has 13 levels.
const DEPTH: usize = 64;

/// The most entries of a tree. Linux 7.3 has 95,000; one in which it was built, three times that.
pub(super) const ENTRIES: usize = 1_000_000;

/// Not part of a tree: what git knows of it. Without it a release also gets no `+` for being no tag.
const LEFT_OUT: &str = ".git";

/// An entry of a tree.
pub(super) struct Entry<'a> {
    /// Its path in the tree.
    pub path: &'a str,
    /// What the system says of it.
    pub stat: &'a Stat,
    /// What it is.
    pub kind: EntryKind<'a>,
}

/// What an entry is.
pub(super) enum EntryKind<'a> {
    /// A directory; its entries follow.
    Directory,
    /// A regular file that can be opened.
    File(FileEntry<'a>),
    /// A symbolic link that stays in the tree, with its target.
    Link(String),
}

/// A regular file in a directory.
pub(super) struct FileEntry<'a> {
    directory: &'a OwnedFd,
    name: &'a str,
}

impl FileEntry<'_> {
    /// Opens it. What has been put in its place since then is no file to us.
    pub(super) fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(self.directory, self.name, flags, Mode::empty())?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::other("it is no regular file any more"))
        }
    }
}

/// Called for each entry.
pub(super) type Visit<'a> = dyn FnMut(&Entry<'_>) -> io::Result<()> + 'a;

/// Walks through `root`, each directory before its entries, the entries in the order of their
/// names.
///
/// # Errors
/// `source-unusable` when something in it cannot be read, or is not to be in a source tree.
pub(super) fn walk(root: &Utf8Path, visit: &mut Visit) -> Result<(), Failure> {
    let opened =
        open_directory(CWD, root.as_str()).map_err(|error| unreadable(root, "", &error))?;
    let mut walker = Walker { root, entries: 0, visit };
    walker.directory(&opened, "", 0)
}

struct Walker<'a, 'b> {
    root: &'a Utf8Path,
    entries: usize,
    visit: &'a mut Visit<'b>,
}

impl Walker<'_, '_> {
    fn directory(&mut self, directory: &OwnedFd, path: &str, depth: usize) -> Result<(), Failure> {
        if depth > DEPTH {
            return Err(refuse(self.root, path, "lies too deep"));
        }
        let names = names(directory).map_err(|error| unreadable(self.root, path, &error))?;
        for name in names {
            let Ok(name) = String::from_utf8(name) else {
                let directory = if path.is_empty() { "." } else { path };
                return Err(refuse(self.root, directory, "holds a name that is not UTF-8"));
            };
            if path.is_empty() && name == LEFT_OUT {
                continue;
            }
            let inner = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            self.entry(directory, &name, &inner, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &str,
        path: &str,
        depth: usize,
    ) -> Result<(), Failure> {
        let failed = |error: &io::Error| unreadable(self.root, path, error);
        self.entries += 1;
        if self.entries > ENTRIES {
            return Err(refuse(self.root, path, "is one entry too many for a kernel tree"));
        }
        if let Some(fault) = fault_of_path(path) {
            return Err(refuse(self.root, path, fault));
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| failed(&error.into()))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => EntryKind::Directory,
            FileType::RegularFile => {
                if stat.st_mode & 0o6000 != 0 {
                    return Err(refuse(self.root, path, "is setuid or setgid"));
                }
                EntryKind::File(FileEntry { directory, name })
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())
                    .map_err(|error| failed(&error.into()))?;
                let target = target.into_string().unwrap_or_default();
                if let Some(fault) = fault_of_link(path, &target) {
                    return Err(refuse(self.root, path, fault));
                }
                EntryKind::Link(target)
            }
            _ => return Err(refuse(self.root, path, "is a device, a pipe or a socket")),
        };
        let is_directory = matches!(kind, EntryKind::Directory);
        let entry = Entry { path, stat: &stat, kind };
        (self.visit)(&entry).map_err(|error| unreadable(self.root, path, &error))?;
        if is_directory {
            let inner = open_directory(directory, name)
                .map_err(|error| unreadable(self.root, path, &error))?;
            self.directory(&inner, path, depth + 1)?;
        }
        Ok(())
    }
}

fn open_directory(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    // The tree itself may be named by a link; nothing in it may.
    let follow = if name.contains('/') { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | follow;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The failure of a tree that holds something it must not hold.
pub(super) fn refuse(root: &Utf8Path, path: &str, fault: &str) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!("{} in the source {root} {fault}", path.escape_debug()),
        "a kernel's source has directories, plain files, and links within itself: put a clean tree \
         there",
    )
}

/// The failure of a tree that cannot be read.
pub(super) fn unreadable(root: &Utf8Path, path: &str, error: &io::Error) -> Failure {
    let place = if path.is_empty() { root.to_owned() } else { root.join(path) };
    if error.kind() == io::ErrorKind::StorageFull {
        return crate::failures::io_failure(FailureClass::SourceUnusable, "copy", &place, error);
    }
    Failure::new(
        FailureClass::SourceUnusable,
        format!("cannot read the source {place}: {error}"),
        "look at the [[source]] in the server's config, and at the permissions of that path",
    )
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
