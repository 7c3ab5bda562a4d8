//! Roots from tarballs that an administrator put on the machine.

use camino::Utf8Path;
use elivepatch_model::Failure;

use super::run::{failure, log, mortal, run};
use crate::{Observer, digest_file::digest_open_file, toolchain::recipe::TarballOrigin};

/// Unpacks the tarball into `root`, when its digest is the recipe's; gives the line on it.
pub(super) fn from_tarball(
    tarball: &TarballOrigin,
    root: &Utf8Path,
    observer: &dyn Observer,
) -> Result<Vec<String>, Failure> {
    let path = &tarball.path;
    let digest = std::fs::File::open(path).and_then(digest_open_file).map_err(|error| {
        failure(
            format!("cannot read {path}: {error}"),
            "put the tarball there, or correct the recipe",
        )
    })?;
    if digest != tarball.sha256 {
        return Err(failure(
            format!("{path} has the digest {digest}, and its recipe says {}", tarball.sha256),
            "fetch it again and look at its signature; if it is another on purpose, correct the recipe",
        ));
    }
    log(observer, format!("unpacking {path}"));
    extract_tar(path, root, observer)?;
    Ok(vec![format!("tarball {} {digest}", path.file_name().unwrap_or_default())])
}

/// Unpacks a tar into the new directory `root`. tar itself keeps names with `..` and links that lead
/// outside from doing harm. Devices are left out, for a sandbox has its own, and owners too: the
/// sandbox's user is nobody there.
fn extract_tar(
    tarball: &Utf8Path,
    root: &Utf8Path,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    fs_err::create_dir_all(root)
        .map_err(|error| failure(format!("cannot make {root}: {error}"), "look at the disk"))?;
    let mut tar = mortal("tar");
    tar.args(["--extract", "--no-same-owner", "--delay-directory-restore"]);
    tar.args(["--anchored", "--exclude=./dev/*", "--exclude=dev/*"]);
    tar.args([format!("--file={tarball}"), format!("--directory={root}")]);
    let finished = run(tar, observer)?;
    if finished.succeeded() {
        return Ok(());
    }
    Err(failure(
        format!("tar cannot unpack {tarball}"),
        "is it a tarball of a root file system, and is there room on the disk?",
    )
    .with_details(finished.last_lines(5)))
}
