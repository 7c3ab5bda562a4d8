use elivepatch_model::limits;
use elivepatch_store::{BlobWriter, Store, StoreError};

use super::{AppError, checks};

/// The parts of a submission, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PartName {
    Request,
    Config,
    Kallsyms,
    Baseline,
    Patch,
}

impl PartName {
    const ALL: [Self; 5] =
        [Self::Request, Self::Config, Self::Kallsyms, Self::Baseline, Self::Patch];

    /// The part with this name, if there is one.
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == name)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Config => "config",
            Self::Kallsyms => "kallsyms",
            Self::Baseline => "baseline",
            Self::Patch => "patch",
        }
    }

    /// Whether there may be several.
    pub(super) fn is_repeated(self) -> bool {
        matches!(self, Self::Baseline | Self::Patch)
    }
}

/// What takes the parts of a form, one after the other.
pub trait TakesParts: Send {
    /// What the form should be, for errors.
    const FORM_HINT: &'static str;

    /// Begins the part with this name and, for a patch, the file name that the author gave.
    ///
    /// # Errors
    /// When another part should come here, or too many patches come.
    fn begin_part(&mut self, name: &str, file_name: Option<&str>) -> Result<Part, AppError>;

    /// Ends a part and checks it.
    ///
    /// # Errors
    /// [`AppError::Refused`] when it can never give a livepatch; [`AppError::BadRequest`].
    fn end_part(&mut self, part: Part) -> impl Future<Output = Result<(), AppError>> + Send;
}

/// One part while it is received.
pub struct Part {
    pub(super) kind: PartKind,
}

pub(super) enum PartKind {
    Request(Vec<u8>),
    Config(BlobWriter),
    Kallsyms(BlobWriter),
    Baseline { name: String, writer: BlobWriter },
    Patch { name: String, writer: BlobWriter },
}

impl Part {
    /// Begins a part; `file_name` is the one that the author gave a patch, and `position` says which
    /// of its kind it is, from 1.
    pub(super) fn begin(
        store: &Store,
        name: PartName,
        file_name: Option<&str>,
        position: usize,
    ) -> Result<Self, AppError> {
        let label = || fix_name(file_name.unwrap_or_default(), position);
        let kind = match name {
            PartName::Request => PartKind::Request(Vec::new()),
            PartName::Config => PartKind::Config(store.begin_blob(limits::CONFIG_BYTES)?),
            PartName::Kallsyms => {
                PartKind::Kallsyms(store.begin_blob(limits::KALLSYMS_PACKED_BYTES)?)
            }
            PartName::Baseline => {
                let writer = store.begin_blob(limits::BASELINE_PATCH_BYTES)?;
                PartKind::Baseline { name: label(), writer }
            }
            PartName::Patch => {
                PartKind::Patch { name: label(), writer: store.begin_blob(limits::PATCH_BYTES)? }
            }
        };
        Ok(Self { kind })
    }

    /// Adds bytes at the end of the part.
    ///
    /// # Errors
    /// When the part is larger than its limit, or the disk is full.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        let (writer, too_large): (_, &(dyn Fn() -> AppError + Sync)) = match &mut self.kind {
            PartKind::Request(all) => {
                if (all.len() + bytes.len()) as u64 > limits::REQUEST_BYTES {
                    let what = "the part \"request\"".to_owned();
                    return Err(AppError::TooLarge { what, limit_bytes: limits::REQUEST_BYTES });
                }
                all.extend_from_slice(bytes);
                return Ok(());
            }
            PartKind::Config(writer) => (writer, &checks::config_too_large),
            PartKind::Kallsyms(writer) => (writer, &checks::kallsyms_too_large),
            PartKind::Baseline { name, writer } => {
                (writer, &|| checks::patch_too_large(name, limits::BASELINE_PATCH_BYTES))
            }
            PartKind::Patch { name, writer } => {
                (writer, &|| checks::patch_too_large(name, limits::PATCH_BYTES))
            }
        };
        writer.write(bytes).await.map_err(|error| match error {
            StoreError::TooLarge { .. } => too_large(),
            other => other.into(),
        })
    }
}

/// The longest name of a fix that is kept, in characters.
const FIX_NAME_CHARACTERS: usize = 100;

/// A name for people from the file name that came with a patch: its last component, printable.
pub(super) fn fix_name(file_name: &str, position: usize) -> String {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name
        .chars()
        .map(|character| if character.is_control() { '_' } else { character })
        .take(FIX_NAME_CHARACTERS)
        .collect();
    match name.trim() {
        "" | "." | ".." => format!("patch-{position}"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::fix_name;

    #[test]
    fn fix_is_named_by_the_last_component_and_never_by_a_path() {
        assert_eq!(fix_name("../../etc/CVE-1.patch", 1), "CVE-1.patch");
        assert_eq!(fix_name("C:\\fixes\\a.patch", 1), "a.patch");
        assert_eq!(fix_name("a\u{1b}[31m.patch", 1), "a_[31m.patch");
        assert_eq!(fix_name("..", 3), "patch-3");
        assert_eq!(fix_name(&"x".repeat(5000), 1).len(), 100);
    }
}
