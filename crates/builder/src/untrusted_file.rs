//! Files that tools in the sandbox have left: they may be anything.

use std::{
    fs::File,
    io::{self, Read},
};

use camino::Utf8Path;
use rustix::fs::{Mode, OFlags};

/// Reads a file in a directory that tools could write. A symbolic link is not followed, a pipe or a
/// device is not waited for, and no more than `limit_bytes` are read.
///
/// # Errors
/// When it is missing, no regular file, or larger.
pub(crate) fn read_untrusted(path: &Utf8Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path.as_std_path(), flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
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
}
