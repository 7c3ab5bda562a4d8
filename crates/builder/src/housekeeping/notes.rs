//! Small files beside an entry of the cache: when it was used last, whether it is pinned, how large
//! it is. They are no part of the entry, and nothing that is built depends on them.

use std::{
    collections::HashSet,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::{
    cache::{open_shared, remove_anything},
    shared_file::{Flush, write_shared},
};

/// The endings of the files' names.
pub(super) const SUFFIXES: [&str; 3] = [USED, PINNED, SIZE];

/// An empty file whose time is that of the last use.
const USED: &str = ".used";

/// An empty file beside what is not to be evicted.
const PINNED: &str = ".pinned";

/// What of the entry does not change any more takes on the disk.
const SIZE: &str = ".size";

fn beside(entry: &Utf8Path, suffix: &str) -> Utf8PathBuf {
    format!("{entry}{suffix}").into()
}

/// Notes that an entry is used now. A note that cannot be written makes the entry look older, no
/// more.
pub(crate) fn mark_used(entry: &Utf8Path) {
    let mark = || {
        // A file has a time of its own that nothing else needs.
        let file = if entry.is_file() {
            std::fs::File::open(entry)?
        } else {
            open_shared(&beside(entry, USED))?
        };
        match file.set_modified(SystemTime::now()) {
            // It is another user's; the directory is ours.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !entry.is_file() => {
                remove_anything(&beside(entry, USED))?;
                open_shared(&beside(entry, USED)).map(drop)
            }
            result => result,
        }
    };
    if let Err(error) = mark() {
        tracing::warn!("cannot note that {entry} is used: {error}");
    }
}

/// When an entry was used last: never before it was made.
pub(super) fn last_used(entry: &Utf8Path) -> SystemTime {
    let modified = |path: &Utf8Path| path.symlink_metadata().and_then(|facts| facts.modified());
    let made = modified(entry).unwrap_or(UNIX_EPOCH);
    modified(&beside(entry, USED)).map_or(made, |used| used.max(made))
}

/// Whether an entry is pinned.
pub(super) fn is_pinned(entry: &Utf8Path) -> bool {
    beside(entry, PINNED).exists()
}

/// Pins an entry, or unpins it.
pub(super) fn pin(entry: &Utf8Path, pinned: bool) -> io::Result<()> {
    let path = beside(entry, PINNED);
    if pinned { write_shared(&path, b"", Flush::First) } else { remove_anything(&path) }
}

/// Removes what is noted of an entry that is gone.
pub(super) fn forget(entry: &Utf8Path) -> io::Result<()> {
    SUFFIXES.iter().try_for_each(|suffix| remove_anything(&beside(entry, suffix)))
}

/// The size of what does not change, and by what to see that it is still the same entry.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SizeNote {
    inode: u64,
    made: Duration,
    bytes: u64,
}

/// What an entry takes on the disk, in bytes. Of a base or root that is complete (`made` is the file
/// that is written last) only what `changes` by its name in the entry is looked through each time:
/// a source tree has 80,000 files.
pub(super) fn disk_bytes(
    entry: &Utf8Path,
    made: &str,
    changes: &dyn Fn(&str) -> bool,
) -> io::Result<u64> {
    let metadata = entry.symlink_metadata()?;
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    let mut changing = 0;
    let mut still = Vec::new();
    for item in entry.read_dir_utf8()? {
        let item = item?;
        if changes(item.file_name()) {
            changing += bytes_below(item.path());
        } else {
            still.push(item.path().to_owned());
        }
    }
    let count =
        || metadata.blocks() * 512 + still.iter().map(|path| bytes_below(path)).sum::<u64>();
    let Some(mark) = entry.join(made).symlink_metadata().ok().map(|made| mark(&metadata, &made))
    else {
        // It is being made, or damaged.
        return Ok(changing + count());
    };
    let path = beside(entry, SIZE);
    let noted = fs_err::read(&path).ok();
    let noted = noted.and_then(|text| serde_json::from_slice::<SizeNote>(&text).ok());
    if let Some(SizeNote { inode, made, bytes }) = noted
        && (inode, made) == mark
    {
        return Ok(changing + bytes);
    }
    let (inode, made) = mark;
    let note = SizeNote { inode, made, bytes: count() };
    let text = serde_json::to_vec(&note).expect("plain data has a JSON form");
    // Only a saving of time.
    let _ = write_shared(&path, &text, Flush::Unneeded);
    Ok(changing + note.bytes)
}

fn mark(entry: &Metadata, made: &Metadata) -> (u64, Duration) {
    let made = made.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    (entry.ino(), made.unwrap_or_default())
}

/// What a file or directory takes on the disk, in bytes; a file with several names counts once.
pub(super) fn bytes_below(path: &Utf8Path) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(path).into_iter().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let is_new = metadata.nlink() == 1
            || metadata.is_dir()
            || seen.insert((metadata.dev(), metadata.ino()));
        if is_new {
            bytes += metadata.blocks() * 512;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(temporary: &tempfile::TempDir) -> Utf8PathBuf {
        let entry = Utf8Path::from_path(temporary.path()).expect("UTF-8").join("entry");
        fs_err::create_dir_all(entry.join("tree")).expect("own directory");
        fs_err::create_dir_all(entry.join("originals")).expect("own directory");
        fs_err::write(entry.join("tree/file"), vec![7; 1_000_000]).expect("own file");
        fs_err::write(entry.join("base.json"), "{}").expect("own file");
        entry
    }

    fn size(entry: &Utf8Path) -> u64 {
        disk_bytes(entry, "base.json", &crate::base::Base::changes_later).expect("own directory")
    }

    #[test]
    fn size_is_counted_once_and_what_changes_each_time() {
        let temporary = tempfile::tempdir().expect("a directory");
        let entry = entry(&temporary);
        let before = size(&entry);
        assert!((1_000_000..1_100_000).contains(&before), "{before}");
        // Seen if all were counted again; a complete entry has no such change.
        fs_err::write(entry.join("tree/more"), vec![7; 500_000]).expect("own file");
        assert_eq!(size(&entry), before);
        fs_err::write(entry.join("originals/x.o"), vec![7; 500_000]).expect("own file");
        assert!(size(&entry) >= before + 500_000);
        // What is compared with the kernel's code is written by builds, too.
        fs_err::create_dir_all(entry.join("fit/objects")).expect("own directory");
        fs_err::write(entry.join("fit/objects/vmlinux"), vec![7; 500_000]).expect("own file");
        assert!(size(&entry) >= before + 1_000_000);
        // One that was made anew is another one.
        fs_err::remove_file(entry.join("base.json")).expect("own file");
        std::thread::sleep(Duration::from_millis(20));
        fs_err::write(entry.join("base.json"), "{}").expect("own file");
        assert!(size(&entry) >= before + 1_500_000);
    }

    #[test]
    fn file_with_two_names_and_sparse_files_count_what_they_take() {
        let temporary = tempfile::tempdir().expect("a directory");
        let entry = entry(&temporary);
        let before = bytes_below(&entry);
        fs_err::hard_link(entry.join("tree/file"), entry.join("tree/again")).expect("own file");
        let sparse = std::fs::File::create(entry.join("sparse")).expect("own file");
        sparse.set_len(1 << 30).expect("own file");
        assert!(bytes_below(&entry) < before + 100_000);
    }

    #[test]
    fn use_is_noted_beside_a_directory_and_at_a_file() {
        let temporary = tempfile::tempdir().expect("a directory");
        let entry = entry(&temporary);
        let before = last_used(&entry);
        std::thread::sleep(Duration::from_millis(20));
        mark_used(&entry);
        assert!(last_used(&entry) > before);
        assert!(entry.with_file_name("entry.used").exists());
        let file = entry.join("base.json");
        let old = UNIX_EPOCH + Duration::from_secs(1_000_000);
        std::fs::File::open(&file).and_then(|file| file.set_modified(old)).expect("own file");
        assert_eq!(last_used(&file), old);
        mark_used(&file);
        assert!(last_used(&file) > before);
        assert!(!entry.join("base.json.used").exists());
        forget(&entry).expect("own directory");
        assert!(!entry.with_file_name("entry.used").exists());
    }
}
