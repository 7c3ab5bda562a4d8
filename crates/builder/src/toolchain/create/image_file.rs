//! What form an image has that an administrator put on the machine.

use std::fmt;

use camino::Utf8Path;
use elivepatch_model::Failure;

use super::run::{failure, mortal, run_quietly};
use crate::Observer;

/// The form of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageKind {
    /// A directory in the OCI image layout.
    Layout,
    /// An archive of one.
    LayoutArchive,
    /// An archive as `docker save` writes it.
    DockerArchive,
}

impl ImageKind {
    /// What skopeo calls it.
    pub(super) fn transport(self) -> &'static str {
        match self {
            Self::Layout => "oci",
            Self::LayoutArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
        }
    }
}

impl fmt::Display for ImageKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Layout => "a directory in the OCI image layout",
            Self::LayoutArchive => "an archive of an OCI image layout",
            Self::DockerArchive => "an archive of Docker's form",
        })
    }
}

/// Looks what is in a file or directory. Newer versions of Docker save both forms in one archive; then it
/// is OCI's, which has a manifest of its own.
///
/// # Errors
/// When it is not there, cannot be read to its end, or is no image.
pub(super) fn kind_of(path: &Utf8Path, observer: &dyn Observer) -> Result<ImageKind, Failure> {
    let no_image = |what: &str| {
        failure(
            format!("{path} is no image, or not a whole one: {what}"),
            format!(
                "export it: skopeo copy docker://IMAGE oci-archive:{path}; a tarball of a root file \
                 system is named by [tarball] in the recipe"
            ),
        )
    };
    if path.is_dir() {
        return match path.join("oci-layout").exists() {
            true => Ok(ImageKind::Layout),
            false => Err(no_image("there is no oci-layout in the directory")),
        };
    }
    if let Err(error) = std::fs::File::open(path) {
        return Err(match error.kind() {
            std::io::ErrorKind::NotFound => {
                let hint = "put the image there, or correct the recipe";
                failure(format!("{path} is not there"), hint)
            }
            _ => {
                let hint = "let the server's user read it, or correct the recipe";
                failure(format!("cannot read {path}: {error}"), hint)
            }
        });
    }
    let mut tar = mortal("tar");
    tar.args(["--list".to_owned(), format!("--file={path}")]);
    let finished = run_quietly(tar, observer)?;
    if !finished.succeeded() {
        let hint = "is it an image, and is it whole? Fetch it again, and compare its size";
        return Err(failure(format!("tar cannot read {path} to its end"), hint)
            .with_details(finished.last_lines(2)));
    }
    let text = finished.text();
    let has = |name: &str| text.lines().any(|line| line.trim_start_matches("./") == name);
    match (has("oci-layout"), has("manifest.json")) {
        (true, _) => Ok(ImageKind::LayoutArchive),
        (false, true) => Ok(ImageKind::DockerArchive),
        (false, false) => Err(no_image("there is neither oci-layout nor manifest.json in it")),
    }
}
