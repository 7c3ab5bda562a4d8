use elivepatch_model::Failure;

use crate::FACTS_BYTES;

/// Why saved facts cannot be used. What comes of the file may hold any characters.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The file is larger than any that is collected.
    #[error("they have more than {FACTS_BYTES} bytes")]
    TooLarge,
    /// It is no such file, or a part of one.
    #[error("they are not what elivepatch facts saves")]
    Form(#[from] serde_json::Error),
    /// Another version of the program wrote it.
    #[error("they are of version {found}, not {known}")]
    Version {
        /// The version of the file.
        found: u32,
        /// The version that is read here.
        known: u32,
    },
    /// A part of it is damaged, or for another kernel.
    #[error("{what} cannot be used: {why}")]
    Part {
        /// The part.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A patch that cannot be applied safely.
    #[error("the baseline patch {name} cannot be used: {failure}")]
    Patch {
        /// Its name.
        name: String,
        /// What is wrong with it.
        failure: Box<Failure>,
    },
}

impl FactsError {
    /// What to do about it.
    pub fn hint(&self) -> &str {
        match self {
            Self::TooLarge | Self::Form(_) => {
                "collect them on the machine to be patched: elivepatch facts --output FILE"
            }
            Self::Version { .. } => {
                "collect them with the same version of elivepatch that uses them"
            }
            Self::Part { .. } => {
                "collect them anew on the machine to be patched: elivepatch facts --output FILE"
            }
            Self::Patch { failure, .. } => &failure.hint,
        }
    }
}
