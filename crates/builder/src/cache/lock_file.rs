//! The files whose locks say what is in use, and whose they are.

use std::{
    fs::File,
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
};

use camino::Utf8Path;
use rustix::fs::OFlags;

/// Opens an empty file of the cache for its lock or its time; makes it when it is not there. One that root
/// makes in a cache of another user belongs to that user: the server works as him. One that is another
/// user's is opened to be read, which is enough for a lock.
pub(crate) fn open_shared(path: &Utf8Path) -> io::Result<File> {
    match File::options().create_new(true).write(true).open(path) {
        Ok(file) => {
            give(&file, path)?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_existing(path),
        Err(error) => Err(error),
    }
}

/// Opens one that is there.
pub(super) fn open_existing(path: &Utf8Path) -> io::Result<File> {
    let nofollow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    match File::options().write(true).custom_flags(nofollow).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            File::options().read(true).custom_flags(nofollow).open(path)
        }
        result => result,
    }
}

/// Gives a new directory to the cache's owner, as [`open_shared`] does with files.
pub(super) fn give_new_directory(path: &Utf8Path) -> io::Result<()> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::DIRECTORY).bits()).unwrap_or_default();
    give(&File::options().read(true).custom_flags(flags).open(path)?, path)
}

/// Gives what root has just made to the owner of the directory that it is in. Never used on what was
/// there before: the owner may have put something else's second name there.
fn give(made: &File, path: &Utf8Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = path.parent().unwrap_or(path).metadata()?;
    if owner.uid() == 0 {
        return Ok(());
    }
    fchown(made, Some(owner.uid()), Some(owner.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cache;

    #[test]
    fn what_root_makes_in_the_cache_of_another_user_is_his() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8").join("cache");
        fs_err::create_dir(&directory).expect("own directory");
        let (user, group) = (65_123, 65_124);
        std::os::unix::fs::chown(&directory, Some(user), Some(group)).expect("as root");
        let cache = Cache::open(&directory).expect("own directory");
        let entry = cache.bases().join("6.1-a");
        fs_err::create_dir(&entry).expect("own directory");
        drop(cache.share(&entry, &crate::SilentObserver).expect("own file"));
        drop(cache.wait_for(&directory.join("sweep")).expect("own file"));
        crate::housekeeping::mark_used(&entry);
        let owner = |path: &Utf8Path| {
            let facts = path.symlink_metadata().expect("it was made");
            (facts.uid(), facts.gid())
        };
        let made = ["bases", "sources", "bases/6.1-a.lock", "bases/6.1-a.used", "sweep.lock"];
        for name in made {
            assert_eq!(owner(&directory.join(name)), (user, group), "{name}");
        }
        // What is there already is not given away: it may be anything by another name.
        let secret = directory.with_file_name("secret");
        fs_err::write(&secret, "secret").expect("own file");
        fs_err::hard_link(&secret, cache.bases().join("b.lock")).expect("own file");
        std::os::unix::fs::symlink(&secret, cache.bases().join("c.lock")).expect("own link");
        drop(cache.try_lock(&cache.bases().join("b")).expect("own file"));
        cache.try_lock(&cache.bases().join("c")).expect_err("a link is not followed");
        assert_eq!(owner(&secret), (0, 0));
    }

    /// Runs itself once more as another user.
    #[test]
    fn lock_file_that_root_left_locks_nobody_out() {
        const PATH: &str = "ELIVEPATCH_TEST_LOCK";
        if let Ok(path) = std::env::var(PATH) {
            let path = Utf8Path::new(&path);
            File::options().write(true).open(path).expect_err("it is root's");
            open_shared(path).expect("it can be read").try_lock().expect("nobody holds it");
            return;
        }
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let temporary = tempfile::tempdir().expect("a directory");
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(temporary.path(), all).expect("own directory");
        let path = Utf8Path::from_path(temporary.path()).expect("UTF-8").join("a.lock");
        fs_err::write(&path, "").expect("own file");
        // The program itself may lie where that user cannot go.
        let program = temporary.path().join("program");
        fs_err::copy("/proc/self/exe", &program).expect("own program");
        let output = std::process::Command::new("setpriv")
            .args(["--reuid=65123", "--regid=65123", "--clear-groups"])
            .arg(&program)
            .args(["--exact", "cache::lock_file::tests::lock_file_that_root_left_locks_nobody_out"])
            .env(PATH, &path)
            .output()
            .expect("setpriv of util-linux");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}
