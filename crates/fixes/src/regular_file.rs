//! Reading files that somebody else may have put there.

use std::io::Read;

use camino::{Utf8Component, Utf8Path};
use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open, openat},
    io::Errno,
};

use crate::FixSourceError;

/// Reads a file below a directory, which may be a link; no part of the way from there is followed if it is
/// one, and nothing but a regular file is read. `None`: it is not there.
pub(crate) fn read(
    directory: &Utf8Path,
    name: &Utf8Path,
    limit_bytes: u64,
) -> Result<Option<Vec<u8>>, FixSourceError> {
    let unreadable = |path: &Utf8Path, error: Errno| FixSourceError::Unreadable {
        path: path.to_owned(),
        source: error.into(),
    };
    let mut path = directory.to_owned();
    let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut place = open(directory.as_std_path(), way, Mode::empty())
        .map_err(|error| unreadable(directory, error))?;
    let mut parts = name.components().peekable();
    while let Some(part) = parts.next() {
        let Utf8Component::Normal(part) = part else {
            return Err(FixSourceError::Outside(name.to_string()));
        };
        path.push(part);
        let flags = match parts.peek() {
            Some(_) => way | OFlags::NOFOLLOW,
            // A pipe must not hold us, and a terminal not become ours.
            None => {
                OFlags::RDONLY
                    | OFlags::NOFOLLOW
                    | OFlags::NONBLOCK
                    | OFlags::NOCTTY
                    | OFlags::CLOEXEC
            }
        };
        place = match openat(&place, part, flags, Mode::empty()) {
            Ok(place) => place,
            Err(Errno::NOENT) => return Ok(None),
            // The latter is said of a link where a directory is wanted.
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(FixSourceError::NotAFile { path, what: "a link, or leads over one," });
            }
            Err(Errno::NXIO) => return Err(FixSourceError::NotAFile { path, what: "a socket" }),
            Err(error) => return Err(unreadable(&path, error)),
        };
    }
    let found = fstat(&place).map_err(|error| unreadable(&path, error))?;
    let what = match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("a directory"),
        FileType::Fifo => Some("a pipe"),
        _ => Some("a device"),
    };
    if let Some(what) = what {
        return Err(FixSourceError::NotAFile { path, what });
    }
    // It may grow while it is read.
    let mut bytes = Vec::new();
    let file = std::fs::File::from(place);
    file.take(limit_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| FixSourceError::Unreadable { path, source })?;
    if bytes.len() as u64 > limit_bytes {
        return Err(FixSourceError::TooLarge { limit_bytes });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_pipes_large_files_and_ways_out_are_refused() {
        let place = tempfile::tempdir().expect("a directory");
        let root = Utf8Path::from_path(place.path()).expect("UTF-8");
        fs::create_dir(root.join("in")).expect("own directory");
        fs::write(root.join("in/fine"), "text").expect("own file");
        fs::write(root.join("large"), "0123456789").expect("own file");
        symlink("/etc/passwd", root.join("link")).expect("own link");
        symlink("in", root.join("away")).expect("own link");
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe").as_str(), Mode::RUSR)
            .expect("own pipe");
        let said = |name: &str| match read(root, Utf8Path::new(name), 9) {
            Ok(found) => format!("{:?}", found.map(|bytes| bytes.len())),
            Err(error) => error.to_string(),
        };
        assert_eq!(said("in/fine"), "Some(4)");
        assert_eq!(said("in/none"), "None");
        assert_eq!(said("none/none"), "None");
        for (name, expected) in [
            ("link", "link is a link"),
            ("away/fine", "away is a link"),
            ("pipe", "pipe is a pipe"),
            ("in", "in is a directory"),
            ("large", "is larger than 9 bytes"),
            ("../etc", "not a path within it"),
            ("in/../../etc", "not a path within it"),
            ("/etc/passwd", "not a path within it"),
        ] {
            assert!(said(name).contains(expected), "{name}: {}", said(name));
        }
        let gone = read(&root.join("no"), Utf8Path::new("x"), 9).expect_err("no directory");
        assert!(gone.is_transient(), "{gone}");
    }
}
