//! The JSON records of CVEs, as far as they are used.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{CveId, LinuxVersion};

/// The most files and ranges that are taken from a record; the longest have 150 of each.
const MOST_ITEMS: usize = 5_000;

/// What a record says of a CVE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub id: CveId,
    /// What it is about, in one line.
    pub title: String,
    /// What it is about, in full.
    pub description: String,
    /// The files that the fix changes, as they are called in mainline. In other branches code may lie
    /// elsewhere.
    pub program_files: Vec<String>,
    /// How bad it is, when somebody has judged that. Without, it may be as bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
    /// Which versions have it, as the record has it.
    pub ranges: Vec<VersionRanges>,
}

/// A score by the Common Vulnerability Scoring System, version 3.1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cvss {
    /// 0.0 to 10.0.
    pub score: f32,
    /// What it comes from.
    pub vector: String,
}

/// Ranges of versions with what is so outside of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRanges {
    /// Whether versions in none of the ranges have the flaw.
    pub default_affected: bool,
    /// The ranges.
    pub ranges: Vec<VersionRange>,
}

/// A range of versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// The first version; `None`: from the beginning.
    pub from: Option<LinuxVersion>,
    /// Where it ends.
    pub to: RangeEnd,
    /// Whether the versions in it have the flaw.
    pub affected: bool,
}

/// The end of a range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeEnd {
    /// It is the first version alone.
    Itself,
    /// It ends before this version.
    Before(LinuxVersion),
    /// It ends with the branch of this version.
    WithBranchOf(LinuxVersion),
    /// It does not end.
    Never,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is no JSON of the right form.
    #[error("it is no CVE record")]
    Form(#[from] serde_json::Error),
    /// It has another CVE's name.
    #[error("it is the record of {found}")]
    Name {
        /// The name in it.
        found: CveId,
    },
    /// It has more items than any record has.
    #[error("it has more than {MOST_ITEMS} files or ranges")]
    TooLong,
}

#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow)]
    containers: Containers<'a>,
    #[serde(rename = "cveMetadata")]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    // Rejected records have another spelling.
    #[serde(rename = "cveId", alias = "cveID")]
    id: CveId,
}

#[derive(Deserialize)]
struct Containers<'a> {
    #[serde(borrow)]
    cna: Cna<'a>,
}

#[derive(Deserialize)]
struct Cna<'a> {
    #[serde(borrow, default)]
    title: Cow<'a, str>,
    #[serde(borrow, default)]
    descriptions: Vec<Description<'a>>,
    #[serde(borrow, default)]
    affected: Vec<Affected<'a>>,
    #[serde(borrow, default)]
    metrics: Vec<Metric<'a>>,
}

#[derive(Deserialize)]
struct Description<'a> {
    #[serde(borrow)]
    value: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Affected<'a> {
    #[serde(borrow, default)]
    default_status: Cow<'a, str>,
    #[serde(borrow, default)]
    program_files: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    versions: Vec<Version<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version<'a> {
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    less_than: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    less_than_or_equal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    version_type: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(borrow, rename = "cvssV3_1", default)]
    cvss: Option<CvssJson<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CvssJson<'a> {
    #[serde(borrow)]
    vector_string: Cow<'a, str>,
    base_score: f32,
}

impl Record {
    /// Reads the text of the file that is named after a CVE. Whether it is published or rejected is said
    /// by the directory of the file: all records say that they are published.
    ///
    /// # Errors
    /// When it is none, or that of another CVE.
    pub fn parse(id: CveId, text: &[u8]) -> Result<Self, RecordError> {
        let Json { containers: Containers { cna }, metadata } = serde_json::from_slice(text)?;
        if metadata.id != id {
            return Err(RecordError::Name { found: metadata.id });
        }
        let items = |affected: &Affected| affected.versions.len() + affected.program_files.len();
        if cna.affected.iter().map(items).sum::<usize>() > MOST_ITEMS {
            return Err(RecordError::TooLong);
        }
        let files = cna.affected.iter().flat_map(|affected| &affected.program_files);
        let mut program_files: Vec<String> = files.map(|file| file.to_string()).collect();
        program_files.sort_unstable();
        program_files.dedup();
        let cvss = cna.metrics.into_iter().find_map(|metric| metric.cvss);
        let cvss = cvss.filter(|cvss| (0.0..=10.0).contains(&cvss.base_score));
        let description = cna.descriptions.into_iter().next();
        Ok(Self {
            id,
            title: cna.title.into_owned(),
            description: description.map_or_else(String::new, |text| text.value.into_owned()),
            program_files,
            cvss: cvss.map(|cvss| Cvss {
                score: cvss.base_score,
                vector: cvss.vector_string.into_owned(),
            }),
            ranges: cna.affected.iter().filter_map(ranges).collect(),
        })
    }

    /// Whether a version has the flaw by the record's ranges. The dyads say the same more exactly; this is
    /// what they are compared with.
    pub fn ranges_say_affected(&self, target: LinuxVersion) -> bool {
        self.ranges.iter().any(|ranges| {
            let mut found = ranges.ranges.iter().filter(|range| range.holds(target)).peekable();
            match found.peek() {
                None => ranges.default_affected,
                Some(_) => found.all(|range| range.affected),
            }
        })
    }
}

impl VersionRange {
    fn holds(&self, target: LinuxVersion) -> bool {
        self.from.is_none_or(|from| from <= target)
            && match self.to {
                RangeEnd::Itself => self.from == Some(target),
                RangeEnd::Before(end) => target < end,
                RangeEnd::WithBranchOf(version) => target.branch() <= version.branch(),
                RangeEnd::Never => true,
            }
    }
}

/// The ranges of versions; `None` where there are but commits.
fn ranges(affected: &Affected) -> Option<VersionRanges> {
    let is_git = |version: &&Version| version.version_type.as_deref() == Some("git");
    let ranges: Vec<VersionRange> =
        affected.versions.iter().filter(|version| !is_git(version)).filter_map(range).collect();
    let default_affected = affected.default_status == "affected";
    (!ranges.is_empty()).then_some(VersionRanges { default_affected, ranges })
}

/// A range; `None` of one whose ends are no versions.
fn range(version: &Version) -> Option<VersionRange> {
    let from = match version.version.as_ref() {
        "0" => None,
        text => Some(text.parse().ok()?),
    };
    let to = match (&version.less_than, &version.less_than_or_equal) {
        (Some(end), _) => RangeEnd::Before(end.parse().ok()?),
        (None, Some(end)) if end == "*" => RangeEnd::Never,
        (None, Some(end)) => RangeEnd::WithBranchOf(end.strip_suffix(".*")?.parse().ok()?),
        (None, None) => RangeEnd::Itself,
    };
    Some(VersionRange { from, to, affected: version.status == "affected" })
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
