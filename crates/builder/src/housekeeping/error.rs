use std::os::unix::fs::MetadataExt;

use camino::Utf8PathBuf;

use crate::cache::EntryKind;

/// Why something in the cache could not be looked at, pinned or removed.
#[derive(Debug, thiserror::Error)]
pub enum HousekeepingError {
    /// No entry has this name, or a name that begins so.
    #[error("there is no {kind} {name}")]
    Unknown {
        /// The kind of entry.
        kind: EntryKind,
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Several entries have names that begin so.
    #[error("{name} may be any of {}", matches.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// What it may be.
        matches: Vec<String>,
    },
    /// What is to be removed is not named well enough.
    #[error("{name} is too short to remove a {kind} by it: {}", matches.join(", "))]
    TooShort {
        /// The kind of entry.
        kind: EntryKind,
        /// What was asked for.
        name: String,
        /// The names that begin so.
        matches: Vec<String>,
    },
    /// Somebody uses or makes the entry, so that it cannot be removed.
    #[error("the {kind} {name} is in use")]
    InUse {
        /// The kind of entry.
        kind: EntryKind,
        /// Its name.
        name: String,
    },
    /// The entry is pinned, so that it is not removed.
    #[error("the {kind} {name} is pinned")]
    Pinned {
        /// The kind of entry.
        kind: EntryKind,
        /// Its name.
        name: String,
    },
    /// A file or directory of the cache cannot be read, written or removed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl HousekeepingError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<Utf8PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        let command = |kind: &EntryKind| match kind {
            EntryKind::ToolchainRoot => "toolchain",
            _ => "base",
        };
        match self {
            Self::Unknown { kind, known, .. } if known.is_empty() => {
                format!("there is none at all; elivepatch-server {} --help", command(kind))
            }
            Self::Unknown { known, .. } => format!("there are: {}", known.join(", ")),
            Self::Ambiguous { .. } => "give more of the name".to_owned(),
            Self::TooShort { kind: EntryKind::Base, .. } => {
                "give the whole name, its beginning with all of the release, or the digest at its end"
                    .to_owned()
            }
            Self::TooShort { .. } => "give the whole name".to_owned(),
            Self::InUse { .. } => {
                "wait for the builds that use it, or cancel them: elivepatch builds; elivepatch \
                 cancel BUILD"
                    .to_owned()
            }
            Self::Pinned { kind, name } => {
                format!("elivepatch-server {} unpin {name}", command(kind))
            }
            Self::Io { path, source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                let owner = path.parent().and_then(|directory| directory.metadata().ok());
                let owner = owner.map_or("OWNER".to_owned(), |owner| format!("'#{}'", owner.uid()));
                format!(
                    "run it as the user that the server runs as: sudo -u {owner} elivepatch-server …"
                )
            }
            Self::Io { .. } => "look at the disk of the cache directory, then try again".to_owned(),
        }
    }
}
