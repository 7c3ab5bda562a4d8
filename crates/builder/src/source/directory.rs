//! Source trees that are directories: their digest, and a copy of them.

use std::{
    fs::Permissions,
    io::{self, Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
};

use camino::Utf8Path;
use elivepatch_model::{Failure, Sha256Digest};
use sha2::{Digest, Sha256};

use super::walk::{Entry, EntryKind, walk};
use crate::sandbox::Sandbox;

/// The digest of all that is in a directory: names, contents, targets of links, and which files
/// can be run. Owners, times and other permissions do not count.
///
/// # Errors
/// `source-unusable`.
pub(super) fn digest(root: &Utf8Path) -> Result<Sha256Digest, Failure> {
    let mut hasher = Sha256::new();
    walk(root, &mut |entry| add(&mut hasher, entry, &mut io::sink()))?;
    Ok(Sha256Digest::from_bytes(hasher.finalize().into()))
}

/// A digest of what the system says of the files, without reading them: when it is what it was,
/// nobody has changed anything. Gives also the time of the last change, in seconds.
///
/// # Errors
/// `source-unusable`.
pub(super) fn fingerprint(root: &Utf8Path) -> Result<(Sha256Digest, i64), Failure> {
    let mut hasher = Sha256::new();
    let mut newest = 0;
    walk(root, &mut |entry| {
        let stat = entry.stat;
        // The change time cannot be set back, unlike the other.
        newest = newest.max(stat.st_ctime);
        hasher.update(entry.path);
        let facts = format!(
            "\0{} {} {} {} {}.{} {}.{}\n",
            stat.st_dev,
            stat.st_ino,
            stat.st_mode,
            stat.st_size,
            stat.st_mtime,
            stat.st_mtime_nsec,
            stat.st_ctime,
            stat.st_ctime_nsec
        );
        hasher.update(facts);
        Ok(())
    })?;
    Ok((Sha256Digest::from_bytes(hasher.finalize().into()), newest))
}

/// How much disk a copy takes, in bytes.
///
/// # Errors
/// `source-unusable`.
pub(super) fn bytes(root: &Utf8Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    walk(root, &mut |entry| {
        // In blocks of 4 KiB, as most file systems keep files.
        bytes += u64::try_from(entry.stat.st_size).unwrap_or_default().next_multiple_of(4096);
        Ok(())
    })?;
    Ok(bytes)
}

/// Copies a directory into the empty directory `target`, for the sandbox's user. Gives the digest
/// of what was copied: whoever changes the directory meanwhile shows by that.
///
/// # Errors
/// `source-unusable`, `disk-full`.
pub(super) fn copy(
    root: &Utf8Path,
    target: &Utf8Path,
    sandbox: &Sandbox,
) -> Result<Sha256Digest, Failure> {
    let mut hasher = Sha256::new();
    walk(root, &mut |entry| {
        let place = target.join(entry.path);
        match &entry.kind {
            EntryKind::Directory => {
                fs_err::create_dir(&place)?;
                add(&mut hasher, entry, &mut io::sink())?;
                sandbox.hand_over(&place)
            }
            EntryKind::File(_) => {
                let mut file = fs_err::File::create_new(&place)?;
                add(&mut hasher, entry, &mut file)?;
                let mode = if is_executable(entry) { 0o755 } else { 0o644 };
                fs_err::set_permissions(&place, Permissions::from_mode(mode))?;
                sandbox.hand_over(&place)
            }
            EntryKind::Link(to) => {
                symlink(to, &place)?;
                add(&mut hasher, entry, &mut io::sink())
            }
        }
    })?;
    Ok(Sha256Digest::from_bytes(hasher.finalize().into()))
}

/// Looks whether all that is in `root` may be in a source tree.
///
/// # Errors
/// `source-unusable`.
pub(super) fn check(root: &Utf8Path) -> Result<(), Failure> {
    walk(root, &mut |_| Ok(()))
}

fn is_executable(entry: &Entry) -> bool {
    entry.stat.st_mode & 0o100 != 0
}

/// Adds an entry to a digest; the content of a file goes to `copy` too.
fn add(hasher: &mut Sha256, entry: &Entry, copy: &mut dyn Write) -> io::Result<()> {
    match &entry.kind {
        EntryKind::Directory => hasher.update(format!("directory {}\0", entry.path)),
        EntryKind::Link(target) => hasher.update(format!("link {}\0{target}\0", entry.path)),
        EntryKind::File(file) => {
            let mut content = Sha256::new();
            let mut file = file.open()?;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                content.update(&buffer[..count]);
                copy.write_all(&buffer[..count])?;
            }
            let kind = if is_executable(entry) { "program" } else { "file" };
            hasher.update(format!("{kind} {}\0", entry.path));
            hasher.update(content.finalize());
        }
    }
    Ok(())
}
