//! Files that one build writes while others may read them.

use std::{
    io::{self, Write},
    os::unix::fs::PermissionsExt,
};

use camino::Utf8Path;

/// Whether a file must be on the disk before it gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// What reads it cannot see that a power failure cut it.
    First,
    /// What reads it compares its digest, and makes it anew.
    Unneeded,
}

/// Puts a file into its place by rename: it is there with all of its content, or not at all. The
/// sandbox's user can read it. Directories on the way are made.
pub(crate) fn write_shared(path: &Utf8Path, content: &[u8], flush: Flush) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    fs_err::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    if flush == Flush::First {
        file.as_file().sync_all()?;
    }
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_replaced_as_a_whole_and_readable_for_all() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let path = directory.join("a/b/file");
        for (content, flush) in [("longer than the next", Flush::First), ("next", Flush::Unneeded)]
        {
            write_shared(&path, content.as_bytes(), flush).expect("own directory");
            assert_eq!(fs_err::read_to_string(&path).expect("own file"), content);
        }
        let mode = fs_err::metadata(&path).expect("own file").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let left = fs_err::read_dir(directory.join("a/b")).expect("own directory").count();
        assert_eq!(left, 1, "nothing half-written is left");
    }
}
