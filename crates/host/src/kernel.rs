use std::{fmt, io, time::Duration};

use elivepatch_model::{ElfBuildId, KernelRelease};
use serde::{Deserialize, Serialize};

use crate::{HostProblem, Machine, notes};

/// The kernel that runs on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// `uname -r`.
    pub release: KernelRelease,
    /// The build-id of its image.
    pub build_id: ElfBuildId,
}

/// What the kernel says of its own state: what it says at another time is compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    /// `/proc/sys/kernel/tainted`.
    taint: u64,
    /// How often it has oopsed in this boot (`/sys/kernel/oops_count`); absent before Linux 6.2 and its backports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oopses: Option<u64>,
    /// How often it has warned (`/sys/kernel/warn_count`), likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warnings: Option<u64>,
}

/// The bits of `include/linux/panic.h` that matter here.
const OOPS: u64 = 1 << 7;
const WARNING: u64 = 1 << 9;

impl Kernel {
    /// Asks the kernel. Without a build-id nothing can be known to fit it.
    ///
    /// # Errors
    /// When it cannot be read, or has no release that can be named.
    pub fn running(machine: &Machine) -> Result<Self, HostProblem> {
        let path = "proc/sys/kernel/osrelease";
        let text = machine.text(path).map_err(|error| HostProblem::read(path, error))?;
        let release = text.trim_end();
        let release = release.parse().map_err(|_| {
            HostProblem::read(
                path,
                io::Error::other(format!("{release:.80?} is no kernel release")),
            )
        })?;
        let path = "sys/kernel/notes";
        let bytes = machine.bytes(path).map_err(|error| HostProblem::read(path, error))?;
        let build_id = notes::build_id(&bytes).ok_or(HostProblem::NoBuildId)?;
        Ok(Self { release, build_id })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (build-id {})", self.release, self.build_id)
    }
}

impl Vitals {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn now(machine: &Machine) -> Result<Self, HostProblem> {
        let number = |text: String| text.trim().parse::<u64>().ok();
        let path = "proc/sys/kernel/tainted";
        let text = machine.text(path).map_err(|error| HostProblem::read(path, error))?;
        let taint = number(text)
            .ok_or_else(|| HostProblem::read(path, io::Error::other("there is no number in it")))?;
        let count = |path| machine.text(path).ok().and_then(number);
        let (oopses, warnings) = (count("sys/kernel/oops_count"), count("sys/kernel/warn_count"));
        Ok(Self { taint, oopses, warnings })
    }

    /// Whether it has oopsed since an earlier time.
    pub fn has_new_oops(self, earlier: Self) -> bool {
        self.taint & !earlier.taint & OOPS != 0 || self.oopses > earlier.oopses
    }

    /// Whether it has warned since an earlier time.
    pub fn has_new_warning(self, earlier: Self) -> bool {
        self.taint & !earlier.taint & WARNING != 0 || self.warnings > earlier.warnings
    }
}

/// The boot: another one after each start of the machine.
///
/// # Errors
/// When the kernel does not tell it.
pub fn boot_id(machine: &Machine) -> Result<String, HostProblem> {
    let path = "proc/sys/kernel/random/boot_id";
    let text = machine.text(path).map_err(|error| HostProblem::read(path, error))?;
    let id = text.trim();
    match (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        true => Ok(id.to_owned()),
        false => Err(HostProblem::read(path, io::Error::other(format!("{id:.80?} is no boot id")))),
    }
}

/// How long the machine is up. It does not jump as the clock does.
///
/// # Errors
/// When the kernel does not tell it.
pub fn uptime(machine: &Machine) -> Result<Duration, HostProblem> {
    let path = "proc/uptime";
    let text = machine.text(path).map_err(|error| HostProblem::read(path, error))?;
    let seconds = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| HostProblem::read(path, io::Error::other(format!("{text:.80?} is no time"))))
}

/// Whether the administrator has switched elivepatch off for this boot.
///
/// # Errors
/// When the command line cannot be read.
pub fn is_switched_off(machine: &Machine) -> Result<bool, HostProblem> {
    let path = "proc/cmdline";
    let text = machine.text(path).map_err(|error| HostProblem::read(path, error))?;
    // What stands behind `--` is for the first process.
    let words = text.split_whitespace().take_while(|word| *word != "--");
    Ok(words.filter_map(|word| word.strip_prefix("elivepatch=")).last() == Some("off"))
}
