use camino::Utf8PathBuf;
use elivepatch_model::KernelRelease;
use serde::Deserialize;

/// The source of kernels that are no stock kernels: one `[[source]]` for each release.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSection {
    /// `uname -r` of the kernels that were built from it.
    pub release: KernelRelease,
    /// A directory, or a tarball with one directory at its top.
    pub path: Utf8PathBuf,
}
