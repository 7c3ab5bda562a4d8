use elivepatch_model::{
    BehaviourCheck, BuildKey, BuildNumber, BuildOptions, BuildState, Failure, Fix, Manifest,
    PatchRecord, ProbeRecord, RebuildOf, Sha256Digest, Step, TargetFacts,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::{StoreError, time::from_column};

/// A build as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildRecord {
    /// Its number.
    pub number: BuildNumber,
    /// Its key.
    pub key: BuildKey,
    /// Where it stands.
    pub state: BuildState,
    /// The kernel to be patched.
    pub target: TargetFacts,
    /// The digest of the config's text.
    pub config: Sha256Digest,
    /// The digest of the running kernel's symbols, when they are needed.
    pub kallsyms: Option<Sha256Digest>,
    /// The patches that are compiled into it, in their order.
    pub baseline: Vec<PatchRecord>,
    /// The fixes in their order.
    pub fixes: Vec<Fix>,
    /// What the trial must see.
    pub checks: Vec<BehaviourCheck>,
    /// How the livepatch is to be made.
    pub options: BuildOptions,
    /// The livepatch that it makes again, when it is a rebuild.
    pub rebuild: Option<RebuildOf>,
    /// The steps of the current or last attempt.
    pub steps: Vec<Step>,
    /// How often a worker has begun it.
    pub attempts: u32,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When a worker first began it.
    pub started_at: Option<Timestamp>,
    /// When it was finished.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, when it did.
    pub failure: Option<Failure>,
    /// What is in the livepatch, when it succeeded; a claim leaves it out.
    pub manifest: Option<Manifest>,
    /// What was found, when it was a probe and succeeded.
    pub probe: Option<ProbeRecord>,
}

/// The columns of a [`BuildRecord`], for `SELECT` and `RETURNING`.
macro_rules! build_columns {
    () => {
        "number, build_key, state, target, config, kallsyms, baseline, fixes, checks, options, rebuild, \
         steps, attempts, submitted_at, started_at, finished_at, failure, probe"
    };
}
pub(crate) use build_columns;

#[derive(Debug, sqlx::FromRow)]
pub(crate) struct BuildRow {
    number: i64,
    build_key: String,
    state: String,
    target: String,
    config: String,
    kallsyms: Option<String>,
    baseline: String,
    fixes: String,
    checks: String,
    options: String,
    rebuild: Option<String>,
    steps: String,
    attempts: i64,
    submitted_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    failure: Option<String>,
    probe: Option<String>,
    #[sqlx(default)]
    manifest: Option<String>,
}

impl TryFrom<BuildRow> for BuildRecord {
    type Error = StoreError;

    fn try_from(row: BuildRow) -> Result<Self, StoreError> {
        let number = BuildNumber(row.number);
        let part = |name: &str| format!("the {name} of build {number}");
        Ok(Self {
            number,
            key: BuildKey(parse_digest(&row.build_key, &part("key"))?),
            state: row
                .state
                .parse()
                .map_err(|error: String| StoreError::corrupt(part("state"), error))?,
            target: from_json(&row.target, &part("target"))?,
            config: parse_digest(&row.config, &part("config"))?,
            kallsyms: row
                .kallsyms
                .map(|text| parse_digest(&text, &part("kallsyms")))
                .transpose()?,
            baseline: from_json(&row.baseline, &part("baseline"))?,
            fixes: from_json(&row.fixes, &part("fixes"))?,
            checks: from_json(&row.checks, &part("checks"))?,
            options: from_json(&row.options, &part("options"))?,
            rebuild: row.rebuild.map(|text| from_json(&text, &part("rebuild"))).transpose()?,
            steps: from_json(&row.steps, &part("steps"))?,
            attempts: row.attempts.try_into().map_err(|error: std::num::TryFromIntError| {
                StoreError::corrupt(part("attempts"), error)
            })?,
            submitted_at: from_column(row.submitted_at)?,
            started_at: row.started_at.map(from_column).transpose()?,
            finished_at: row.finished_at.map(from_column).transpose()?,
            failure: row.failure.map(|text| from_json(&text, &part("failure"))).transpose()?,
            manifest: row.manifest.map(|text| from_json(&text, &part("manifest"))).transpose()?,
            probe: row.probe.map(|text| from_json(&text, &part("probe"))).transpose()?,
        })
    }
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::corrupt(what, source))
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data has a JSON form")
}

pub(crate) fn parse_digest(text: &str, what: &str) -> Result<Sha256Digest, StoreError> {
    text.parse().map_err(|source: elivepatch_model::DigestError| StoreError::corrupt(what, source))
}
