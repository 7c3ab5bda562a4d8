//! The kernel's CVE feed: its records, what they say of a version of Linux, and where they come from.

mod applicability;
mod doubts;
mod dyad;
mod exposure;
pub mod feed;
mod id;
mod outcome;
mod record;
mod standing;
mod version;

pub use applicability::{Applicability, CveInput, FileState, Fixes, Kernel, applicability};
pub use dyad::{Commit, Dyad, DyadError, parse_dyads};
pub use exposure::Exposure;
pub use id::{CveId, CveIdError};
pub use outcome::{CveResult, FixRecord, Group, Outcome};
pub use record::{Cvss, RangeEnd, Record, RecordError, VersionRange, VersionRanges};
pub use standing::{Standing, standing};
pub use version::{Branch, LinuxVersion, VersionError};
