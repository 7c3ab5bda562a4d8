use serde::Deserialize;

/// The most workers of one server. A worker more than there are cores only waits in trials and for
/// downloads; machines with more than 64 cores are better used by builds that compile much.
pub const MOST_WORKERS: u32 = 64;

/// How builds are run, and the limits of the sandbox that compilers and make run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuilderSection {
    /// How many builds run at the same time.
    pub workers: u32,
    /// How many compilers run at the same time in a build; 0: one for each core.
    pub jobs: u32,
    /// The most objects that are compiled for the headers of a request.
    pub header_objects: usize,
    /// How long one tool of a build may run.
    pub build_time_limit_seconds: u64,
    /// How long a tool may be silent.
    pub silence_limit_seconds: u64,
    /// How much memory the tools of a build may use together.
    pub memory_limit_mib: u64,
    /// How many processes and threads they may have.
    pub process_limit: u32,
    /// How much a tool may print.
    pub output_limit_mib: u64,
    /// How large a build's work directory may grow.
    pub disk_limit_mib: u64,
    /// How long building a whole kernel may take.
    pub base_build_seconds: u64,
    /// How large a kernel's tree may grow while it is built.
    pub base_disk_limit_mib: u64,
    /// How much the objects may take that are kept beside each base.
    pub originals_limit_mib: u64,
    /// How long a trial may take.
    pub trial_time_limit_seconds: u64,
    /// Whether builds share a base by overlay where the machine allows it.
    pub overlay: bool,
}

impl Default for BuilderSection {
    fn default() -> Self {
        Self {
            workers: 1,
            jobs: 0,
            header_objects: 2000,
            build_time_limit_seconds: 1800,
            silence_limit_seconds: 600,
            memory_limit_mib: 4096,
            process_limit: 512,
            output_limit_mib: 16,
            disk_limit_mib: 6144,
            base_build_seconds: 6 * 3600,
            base_disk_limit_mib: 40 * 1024,
            originals_limit_mib: 4096,
            trial_time_limit_seconds: 300,
            overlay: true,
        }
    }
}
