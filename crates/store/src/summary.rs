use elivepatch_model::{BuildKey, BuildNumber, BuildState, FailureClass, KernelRelease};
use jiff::Timestamp;

use crate::{
    StoreError,
    row::{from_json, parse_digest},
    time::from_column,
};

/// What a list says of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSummaryRecord {
    /// Its number.
    pub number: BuildNumber,
    /// Its key.
    pub key: BuildKey,
    /// Where it stands.
    pub state: BuildState,
    /// The release of the kernel to be patched.
    pub release: KernelRelease,
    /// The names of the fixes in their order.
    pub fixes: Vec<String>,
    /// How often a worker has begun it.
    pub attempts: u32,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When a worker first began it.
    pub started_at: Option<Timestamp>,
    /// When it was finished.
    pub finished_at: Option<Timestamp>,
    /// Class and message of its failure, when it failed.
    pub failure: Option<(FailureClass, String)>,
}

#[derive(Debug, sqlx::FromRow)]
pub(crate) struct SummaryRow {
    number: i64,
    build_key: String,
    state: String,
    release: String,
    fixes: String,
    attempts: u32,
    submitted_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    failure_class: Option<String>,
    failure_message: Option<String>,
}

impl TryFrom<SummaryRow> for BuildSummaryRecord {
    type Error = StoreError;

    fn try_from(row: SummaryRow) -> Result<Self, StoreError> {
        let number = BuildNumber(row.number);
        let part = |name: &str| format!("the {name} of build {number}");
        let failure = match (row.failure_class, row.failure_message) {
            (Some(class), Some(message)) => {
                // The class is a bare name here: as JSON it is a string.
                Some((from_json(&format!("\"{class}\""), &part("failure"))?, message))
            }
            _ => None,
        };
        Ok(Self {
            number,
            key: BuildKey(parse_digest(&row.build_key, &part("key"))?),
            state: row
                .state
                .parse()
                .map_err(|error: String| StoreError::corrupt(part("state"), error))?,
            release: row
                .release
                .parse()
                .map_err(|error| StoreError::corrupt(part("release"), Box::new(error) as Box<_>))?,
            fixes: from_json(&row.fixes, &part("fixes"))?,
            attempts: row.attempts,
            submitted_at: from_column(row.submitted_at)?,
            started_at: row.started_at.map(from_column).transpose()?,
            finished_at: row.finished_at.map(from_column).transpose()?,
            failure,
        })
    }
}
