//! The digests of what is kept of the unpatched kernel. Livepatches are made from these files for as
//! long as the base is there: a disk may lose bits of them, or somebody change one.

use std::{collections::BTreeMap, io};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::Sha256Digest;

use crate::{digest_file::digest_file, engine::on_all_cores::on_all_cores};

/// Digests by the files' paths below the originals' directory.
pub(super) type Digests = BTreeMap<String, Sha256Digest>;

/// The digests of all kept files that a livepatch is made from: the image with its symbols, the
/// objects and archives, and the records of how they were made.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn digests(place: &Utf8Path, cores: u32) -> io::Result<Digests> {
    let mut files = Vec::new();
    find(place, place, &mut files)?;
    let digests = on_all_cores(cores, &files, |path| digest_file(&place.join(path)));
    let files = files.iter().map(|path| path.as_str().to_owned());
    files.zip(digests).map(|(path, digest)| Ok((path, digest?))).collect()
}

/// The first file that is not what it was, if any.
pub(super) fn first_damaged(place: &Utf8Path, digests: &Digests, cores: u32) -> Option<String> {
    let files: Vec<(&String, &Sha256Digest)> = digests.iter().collect();
    let damaged = on_all_cores(cores, &files, |(path, digest)| {
        !digest_file(&place.join(path)).is_ok_and(|found| found == **digest)
    });
    let mut damaged = files.iter().zip(damaged).filter(|(_, damaged)| *damaged);
    damaged.next().map(|((path, _), _)| (*path).clone())
}

fn find(place: &Utf8Path, directory: &Utf8Path, files: &mut Vec<Utf8PathBuf>) -> io::Result<()> {
    for entry in directory.read_dir_utf8()? {
        let entry = entry?;
        // Not that of what a symbolic link leads to.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            find(place, entry.path(), files)?;
        } else if kind.is_file() && is_used(entry.file_name()) {
            let path = entry.path().strip_prefix(place).map_err(io::Error::other)?;
            files.push(path.to_owned());
        }
    }
    Ok(())
}

fn is_used(name: &str) -> bool {
    const ENDS: [&str; 3] = [".o", ".a", ".o.cmd"];
    ENDS.iter().any(|end| name.ends_with(end)) || ["vmlinux", "modules.order"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_and_missing_files_are_found() {
        let temporary = tempfile::tempdir().expect("a directory");
        let place = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        for name in ["image/vmlinux", "objects.layer/upper/fs/a.o", "objects.layer/upper/fs/b.c"] {
            let path = place.join(name);
            fs_err::create_dir_all(path.parent().expect("a parent")).expect("own directory");
            fs_err::write(path, name).expect("own file");
        }
        std::os::unix::fs::symlink("/etc/passwd", place.join("image/c.o")).expect("own file");
        let digests = digests(place, 2).expect("all can be read");
        let names: Vec<&str> = digests.keys().map(String::as_str).collect();
        assert_eq!(names, ["image/vmlinux", "objects.layer/upper/fs/a.o"]);
        assert_eq!(first_damaged(place, &digests, 2), None);
        fs_err::write(place.join("objects.layer/upper/fs/b.c"), "other").expect("own file");
        assert_eq!(first_damaged(place, &digests, 2), None);
        fs_err::write(place.join("objects.layer/upper/fs/a.o"), "other").expect("own file");
        let damaged = Some("objects.layer/upper/fs/a.o".to_owned());
        assert_eq!(first_damaged(place, &digests, 2), damaged);
        fs_err::remove_file(place.join("image/vmlinux")).expect("own file");
        assert_eq!(first_damaged(place, &digests, 2), Some("image/vmlinux".to_owned()));
    }
}
