use std::sync::Arc;

use camino::Utf8PathBuf;
use elivepatch_cve::{CveId, LinuxVersion};

use crate::{
    CommitHash, FixSourceError, OverlayFault, OverlayFix, WebTimes, directory, git,
    overlay::Overlay, web::Web,
};

/// A source of fixes, as the config names it.
#[derive(Debug, Clone, PartialEq)]
pub enum FixSourceOptions {
    /// A clone of linux-stable on this machine.
    Git {
        /// The clone, bare or with files.
        path: Utf8PathBuf,
    },
    /// A directory with files `COMMIT.patch`.
    Directory {
        /// The directory.
        path: Utf8PathBuf,
    },
    /// A web server.
    Web {
        /// The address of a commit's patch, with `SHA` where the commit stands.
        url: String,
        /// How many questions it is asked in a second at most; above 0.
        per_second: f64,
        /// How patiently.
        times: WebTimes,
    },
    /// A livepatch-overlay: patches by CVE and version of Linux.
    Overlay {
        /// The directory with `elivepatch.yml`.
        path: Utf8PathBuf,
    },
}

/// A source of fixes.
#[derive(Debug)]
pub struct FixSource {
    label: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Git(Utf8PathBuf),
    Directory(Utf8PathBuf),
    Web(Web),
    Overlay(Arc<Overlay>),
}

impl FixSource {
    /// A source. Nothing is read yet; an address must have passed [`crate::template_problem`].
    pub fn new(options: &FixSourceOptions) -> Self {
        let (label, kind) = match options {
            FixSourceOptions::Git { path } => {
                (format!("the clone {path}"), Kind::Git(path.clone()))
            }
            FixSourceOptions::Directory { path } => {
                (format!("the directory {path}"), Kind::Directory(path.clone()))
            }
            FixSourceOptions::Web { url, per_second, times } => {
                (url.clone(), Kind::Web(Web::new(url.clone(), *per_second, *times)))
            }
            FixSourceOptions::Overlay { path } => {
                (format!("the overlay {path}"), Kind::Overlay(Arc::new(Overlay::new(path.clone()))))
            }
        };
        Self { label, kind }
    }

    /// What it is called, for people.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether asking it needs no network.
    pub fn is_local(&self) -> bool {
        !matches!(self.kind, Kind::Web(_))
    }

    /// The patch of a commit; `None` of a source that has patches by other names only.
    ///
    /// # Errors
    /// [`FixSourceError::Absent`] when it has no such commit; when it cannot be read, or what it has is not
    /// the patch of that commit.
    pub async fn fix(&self, commit: &CommitHash) -> Option<Result<Vec<u8>, FixSourceError>> {
        match &self.kind {
            Kind::Git(clone) => Some(git::fix(clone, commit).await),
            Kind::Directory(path) => {
                let (path, commit) = (path.clone(), commit.clone());
                Some(blocking(move || directory::fix(&path, &commit)).await)
            }
            Kind::Web(web) => Some(web.fix(commit).await),
            Kind::Overlay(_) => None,
        }
    }

    /// What an overlay has for a CVE in a version; `None` also of the other kinds.
    ///
    /// # Errors
    /// When it cannot be read, or what it has changes nothing.
    pub async fn overlay_fix(
        &self,
        id: CveId,
        version: LinuxVersion,
    ) -> Result<Option<OverlayFix>, FixSourceError> {
        let Kind::Overlay(overlay) = &self.kind else { return Ok(None) };
        let overlay = Arc::clone(overlay);
        blocking(move || overlay.fix(id, version)).await
    }

    /// What of an overlay's list cannot be used.
    ///
    /// # Errors
    /// When a source on this machine is not there, or is something else.
    pub fn faults(&self) -> Result<Vec<OverlayFault>, FixSourceError> {
        match &self.kind {
            Kind::Git(clone) => git::objects_of(clone).map(|_| Vec::new()),
            Kind::Directory(path) => match path.read_dir_utf8() {
                Ok(_) => Ok(Vec::new()),
                Err(source) => Err(FixSourceError::Unreadable { path: path.clone(), source }),
            },
            Kind::Web(_) => Ok(Vec::new()),
            Kind::Overlay(overlay) => overlay.faults(),
        }
    }
}

/// Runs what reads files where it may wait for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FixSourceError> + Send + 'static,
) -> Result<T, FixSourceError> {
    tokio::task::spawn_blocking(work).await.expect("reading a file does not panic")
}
