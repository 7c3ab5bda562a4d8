//! Package files that were kept on the server, for kernels that have left the archive.

use std::process::Command;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass, Sha256Digest};

use super::{
    PackageDirectory,
    apt::{Apt, PackageFile},
    faults::apt_io,
};
use crate::{digest_file::digest_file, failures::io_failure};

impl Apt {
    /// The kept files of packages, newest last as they come. Only those whose digests the config
    /// names: of others an index has to say what they are.
    pub(super) fn kept_packages(&self, names: &[&str]) -> Result<Vec<PackageFile>, Failure> {
        let Some(PackageDirectory { directory, digests }) = &self.options.packages else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for (file_name, digest) in digests {
            // A file is looked into only when its name says that it may be meant.
            let begins = |name: &&str| file_name.starts_with(&format!("{name}_"));
            if !names.iter().any(begins) {
                continue;
            }
            let path = directory.join(file_name);
            check(&path, *digest)?;
            let package = describe(&path, *digest, file_name)?;
            if names.contains(&package.name.as_str()) {
                found.push(package);
            }
        }
        Ok(found)
    }

    /// Puts the kept file of a package into `place`, when there is one with the right digest.
    pub(super) fn take_kept(
        &self,
        package: &PackageFile,
        place: &Utf8Path,
    ) -> Result<bool, Failure> {
        let Some(PackageDirectory { directory, .. }) = &self.options.packages else {
            return Ok(false);
        };
        let path = directory.join(&package.file_name);
        if !path.is_file() {
            return Ok(false);
        }
        let packages = self.cache.packages();
        // Half of it goes with the value when the disk is full, and by its name when this is killed.
        let copy = tempfile::NamedTempFile::new_in(&packages)
            .map_err(|error| apt_io("write to", &packages, &error))?;
        fs_err::copy(&path, copy.path()).map_err(|error| apt_io("copy", &path, &error))?;
        // Of the copy: the file may change meanwhile.
        let partial =
            Utf8Path::from_path(copy.path()).expect("below a directory with a UTF-8 name");
        let digest = digest_file(partial).map_err(|error| apt_io("read", partial, &error))?;
        if digest != package.digest {
            return Err(wrong(&path, package.digest, digest));
        }
        copy.persist(place).map_err(|error| apt_io("move a copy to", place, &error.error))?;
        Ok(true)
    }
}

fn check(path: &Utf8Path, expected: Sha256Digest) -> Result<(), Failure> {
    let digest = digest_file(path)
        .map_err(|error| io_failure(FailureClass::SourceUnusable, "read", path, &error))?;
    if digest == expected { Ok(()) } else { Err(wrong(path, expected, digest)) }
}

fn wrong(path: &Utf8Path, expected: Sha256Digest, found: Sha256Digest) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!("{path} does not have the digest that index or config say"),
        "put the right file there; `sha256sum` prints its digest",
    )
    .with_details([format!("expected {expected}"), format!("found {found}")])
}

/// What the package says of itself; its digest is right, so it is what the administrator means.
fn describe(
    path: &Utf8Path,
    digest: Sha256Digest,
    file_name: &str,
) -> Result<PackageFile, Failure> {
    let unreadable = |why: String| {
        Failure::new(
            FailureClass::SourceUnusable,
            format!("{path} cannot be read as a Debian package: {why}"),
            "put the right file there, and its digest into the [[source]] of the server's config",
        )
    };
    let output = Command::new("dpkg-deb")
        .args(["--showformat", "${Package}\n${Version}\n", "--show", path.as_str()])
        .output()
        .map_err(|error| unreadable(format!("cannot run dpkg-deb: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let (Some(name), Some(version)) = (lines.next(), lines.next()) else {
        return Err(unreadable(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    };
    let size_bytes = fs_err::metadata(path).map_err(|error| apt_io("read", path, &error))?.len();
    Ok(PackageFile {
        name: name.to_owned(),
        version: version.to_owned(),
        digest,
        size_bytes,
        file_name: file_name.to_owned(),
    })
}
