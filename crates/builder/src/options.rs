use std::time::Duration;

use camino::Utf8PathBuf;

use crate::{SigningOptions, debian::DebianOptions, sandbox::SandboxLimits, source::SourceOptions};

/// The usual limit for patches to headers. On two cores a build compiles some 100 objects a minute,
/// so that one at the limit takes 20 minutes to 40; headers with more dependents reach most of the
/// kernel.
const HEADER_OBJECTS: usize = 2000;

/// The usual limit for the objects that are kept beside a base, in bytes: some 8000 of 0.5 MB, which is
/// four patches to headers at their limit.
const ORIGINALS_BYTES: u64 = 4 << 30;

/// How a builder works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderOptions {
    /// Packages, toolchain roots and bases; may be shared with others, and deleted.
    pub cache_directory: Utf8PathBuf,
    /// Where the administrator's own toolchain recipes are.
    pub toolchain_recipes: Option<Utf8PathBuf>,
    /// What the cache may take, in bytes; absent: as much as there is.
    pub disk_budget_bytes: Option<u64>,
    /// Where Debian's packages come from.
    pub debian: DebianOptions,
    /// What each tool in the sandbox may use.
    pub limits: SandboxLimits,
    /// What building a whole kernel may use: once for each kernel, and much more than a livepatch.
    pub base_limits: SandboxLimits,
    /// The sources of kernels; the first that has a kernel serves it. Unless one of them is of the
    /// kind `debian`, Debian's archive is the last.
    pub sources: Vec<SourceOptions>,
    /// How long a trial may take.
    pub trial_time: Duration,
    /// Cores to use; 0 for all.
    pub jobs: u32,
    /// The most objects that are compiled for the headers of an order, all of them together.
    pub header_objects: usize,
    /// The same for a probe.
    pub probe_header_objects: usize,
    /// What the objects without any fix may take that the kpatch engine keeps beside each base, in
    /// bytes. They are compiled again when they are needed again.
    pub originals_bytes: u64,
    /// Whether builds may share a base by overlay; else each gets a copy, as on machines that
    /// allow no overlay.
    pub overlay: bool,
    /// Whether an order may ask for a livepatch without proof that the base fits the target.
    pub allow_unproven: bool,
    /// What modules are signed with; absent: they are not.
    pub signing: Option<SigningOptions>,
}

impl BuilderOptions {
    /// The usual options, with this cache.
    pub fn new(cache_directory: Utf8PathBuf) -> Self {
        Self {
            cache_directory,
            toolchain_recipes: None,
            disk_budget_bytes: None,
            debian: DebianOptions::default(),
            limits: SandboxLimits::default(),
            base_limits: SandboxLimits::for_bases(),
            sources: Vec::new(),
            trial_time: Duration::from_secs(300),
            jobs: 0,
            header_objects: HEADER_OBJECTS,
            probe_header_objects: HEADER_OBJECTS,
            originals_bytes: ORIGINALS_BYTES,
            overlay: true,
            allow_unproven: false,
            signing: None,
        }
    }
}
