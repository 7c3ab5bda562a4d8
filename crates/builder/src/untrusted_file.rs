//! Files that tools in the sandbox have left: they may be anything.

use std::{
    fs::File,
    io::{self, Read},
};

use camino::Utf8Path;
use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Reads a file in a directory that tools could write. A symbolic link is not followed, a pipe or a
/// device is not waited for, and no more than `limit_bytes` are read.
///
/// # Errors
/// When it is missing, no regular file, or larger.
pub(crate) fn read_untrusted(path: &Utf8Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    read_file(open_untrusted(path)?, limit_bytes)
}

/// Opens such a file, for one that is too large to be read at once.
///
/// # Errors
/// When it is missing or no regular file.
pub(crate) fn open_untrusted(path: &Utf8Path) -> io::Result<File> {
    let flags = FLAGS | OFlags::NOFOLLOW;
    regular(rustix::fs::open(path.as_std_path(), flags, Mode::empty())?.into())
}

/// Reads the file with a path below `directory`, as [`read_untrusted`] does; on the way no symbolic
/// link is followed and `directory` is not left. `directory` itself must be ours.
///
/// # Errors
/// As [`read_untrusted`].
pub(crate) fn read_untrusted_below(
    directory: &Utf8Path,
    path: &str,
    limit_bytes: u64,
) -> io::Result<Vec<u8>> {
    read_file(open_untrusted_below(directory, path)?, limit_bytes)
}

/// Opens the file with a path below `directory`, as [`read_untrusted_below`] does.
///
/// # Errors
/// When it is missing or no regular file.
pub(crate) fn open_untrusted_below(directory: &Utf8Path, path: &str) -> io::Result<File> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let directory = File::open(directory)?;
    regular(rustix::fs::openat2(directory, path, FLAGS, Mode::empty(), resolve)?.into())
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

fn read_file(file: File, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(io::Error::other(format!("it has more than {limit_bytes} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn only_regular_files_up_to_the_limit_are_read() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        let plain = directory.join("plain");
        std::fs::write(&plain, "12345").expect("own file");
        assert_eq!(read_untrusted(&plain, 5).expect("small enough"), b"12345");
        assert!(read_untrusted(&plain, 4).is_err());
        let link = directory.join("link");
        std::os::unix::fs::symlink(&plain, &link).expect("own link");
        assert!(read_untrusted(&link, 5).is_err());
        let pipe = directory.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        assert!(read_untrusted(&pipe, 5).is_err());
        assert!(read_untrusted(&directory, 5).is_err());
    }

    #[test]
    fn nothing_outside_of_the_directory_is_read() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        std::fs::create_dir_all(directory.join("below/a")).expect("own directory");
        std::fs::write(directory.join("outside"), "x").expect("own file");
        std::fs::write(directory.join("below/a/file"), "12345").expect("own file");
        let below = directory.join("below");
        assert_eq!(read_untrusted_below(&below, "a/file", 5).expect("a file"), b"12345");
        std::os::unix::fs::symlink("a", below.join("link")).expect("own link");
        for path in ["../outside", "link/file", "/etc/passwd", "a", "a/missing"] {
            assert!(read_untrusted_below(&below, path, 5).is_err(), "{path}");
        }
    }
}
