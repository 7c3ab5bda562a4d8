use std::{fs, io, os::unix::fs::PermissionsExt};

use camino::Utf8Path;

/// Removes a build's work directory with all that tools in the sandbox left there; one that is not
/// there is fine. overlayfs keeps a directory that nobody may enter, which only root can remove as
/// it is.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_work_directory(directory: &Utf8Path) -> io::Result<()> {
    match fs_err::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(directory)?;
            fs_err::remove_dir_all(directory)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Lets us into every directory below. Nobody else works there any more.
fn open_up(directory: &Utf8Path) -> io::Result<()> {
    fs_err::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for entry in directory.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn directory_that_nobody_may_enter_is_removed() {
        let temporary = tempfile::tempdir().expect("a directory");
        let work = Utf8PathBuf::from_path_buf(temporary.path().join("work")).expect("UTF-8");
        let closed = work.join("layer/work/work");
        fs::create_dir_all(closed.join("inside")).expect("own directory");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("own directory");
        open_up(&work).expect("own directories");
        assert!(closed.join("inside").exists());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("own directory");
        remove_work_directory(&work).expect("own directories");
        assert!(!work.exists());
        remove_work_directory(&work).expect("nothing is there");
    }
}
