use std::time::Duration;

/// What all tools of one sandbox may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxLimits {
    /// From start to end of one tool.
    pub time: Duration,
    /// Without printing anything.
    pub silence: Duration,
    /// Memory of all processes together, and address space of each, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads at a time.
    pub processes: u32,
    /// What one tool may print, in bytes.
    pub output_bytes: u64,
    /// What may be written below the writable directories, in bytes.
    pub disk_bytes: u64,
}

impl SandboxLimits {
    /// Limits under which a distribution's whole kernel builds: some hours on two cores, and 30 GB
    /// with all its modules and their debug information.
    pub fn for_bases() -> Self {
        Self {
            time: Duration::from_secs(6 * 3600),
            // Linking vmlinux and looking through it says nothing for minutes.
            silence: Duration::from_secs(1800),
            output_bytes: 64 << 20,
            disk_bytes: 40 << 30,
            ..Self::default()
        }
    }
}

impl Default for SandboxLimits {
    /// Limits under which every fix of the 6.1 branch builds: a base is prepared in a minute and
    /// writes 1.5 GB.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(1800),
            silence: Duration::from_secs(600),
            memory_bytes: 4 << 30,
            processes: 512,
            output_bytes: 16 << 20,
            disk_bytes: 6 << 30,
        }
    }
}
