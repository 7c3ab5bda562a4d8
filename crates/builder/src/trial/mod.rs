//! The trial: the target's own kernel in a virtual machine loads the livepatch, shows that it
//! works, and unloads it.
//!
//! The guest has the kernel image, busybox, the module, and those of the target's own modules that
//! it patches, with what they need; nothing else. Its first process
//! (`init.sh`) runs the trial and reports over a serial port; the kernel's console is another one.
//! Both are untrusted text to us. The behaviour checks come from the author of the patch, who
//! decides what the guest's kernel does anyway: a trial protects from mistakes, not from its author.
//! Where an earlier livepatch is active on the target's machines, the guest has that, too, and is made
//! to replace it.

mod accelerator;
mod behaviour;
mod console;
mod guest;
mod initrd;
mod launcher;
mod modules;
mod protocol;
mod replacing;
mod signature;
mod transcript;
mod verdict;

use std::{io::Read, time::Duration};

use camino::Utf8Path;
use elivepatch_elf::SignedModule;
use elivepatch_model::{
    BehaviourCheck, BuildEvent, Failure, FailureClass, KernelRelease, Sha256Digest, StepName,
    TrialEvidence,
};

pub use accelerator::Accelerator;
pub use console::{ConsoleFault, ConsoleFindings, ConsoleLog};
pub use launcher::{DirectLauncher, QemuLauncher};
pub use modules::TrialModule;
pub use replacing::EarlierLivepatch;

use self::{
    guest::{GuestPlan, run_guest},
    initrd::Initrd,
    protocol::Phase,
    signature::check_reported,
    transcript::Transcript,
    verdict::{Course, judge},
};
use crate::Observer;

/// How much of a check's output is kept and searched, in bytes: a page of `/proc` text.
pub const CHECK_OUTPUT_BYTES: usize = 16 * 1024;

/// How long one run of a check may take in the guest, in seconds.
pub const CHECK_SECONDS: u64 = 10;

/// How long a livepatch may take to reach all tasks unless the caller says otherwise. The kernel
/// wakes sleeping tasks every 15 s; what is not through after a minute sleeps in a patched function.
pub const TRANSITION_LIMIT: Duration = Duration::from_secs(60);

/// How much longer than a transition a guest may be silent: emulation on a busy machine is slow.
const SILENCE_MARGIN: Duration = Duration::from_secs(30);

/// What a trial needs to know of the livepatch and its target.
#[derive(Debug, Clone, Copy)]
pub struct TrialInput<'a> {
    /// The target's bootable image (`vmlinuz`).
    pub kernel_image: &'a Utf8Path,
    /// A statically linked busybox.
    pub busybox: &'a Utf8Path,
    /// The module file.
    pub module: &'a Utf8Path,
    /// The module's name, as `lsmod` shows it.
    pub module_name: &'a str,
    /// The release that the guest's kernel must report.
    pub release: &'a KernelRelease,
    /// The target's modules that the livepatch patches and all that these need, each after what it
    /// needs.
    pub modules: &'a [TrialModule<'a>],
    /// What the trial must see.
    pub checks: &'a [BehaviourCheck],
    /// The livepatch that is active on the target's machines: it is tried, too, that the new one takes
    /// its place.
    pub earlier: Option<EarlierLivepatch<'a>>,
    /// How many functions the livepatch replaces.
    pub functions_expected: usize,
}

/// How a trial is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialOptions {
    /// From start to power-off, at most.
    pub time_limit: Duration,
    /// The guest's memory, in MiB.
    pub memory_mib: u32,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// How long each transition, there and back, may take; in whole seconds.
    pub transition_limit: Duration,
}

impl TrialOptions {
    /// The usual limits: five minutes, 512 MiB and [`TRANSITION_LIMIT`].
    pub fn new(accelerator: Accelerator) -> Self {
        Self {
            time_limit: Duration::from_secs(300),
            memory_mib: 512,
            accelerator,
            transition_limit: TRANSITION_LIMIT,
        }
    }
}

/// Tries a livepatch. `work` is an empty directory for the trial's files; they stay there.
///
/// # Errors
/// A failure of one of the `trial-` classes; `trial-boot-failed` also when the trial could not be
/// set up or the observer cancelled it, and `disk-full` when its files found no room.
pub fn run_trial(
    input: &TrialInput<'_>,
    options: &TrialOptions,
    launcher: &dyn QemuLauncher,
    observer: &dyn Observer,
    work: &Utf8Path,
) -> Result<TrialEvidence, Failure> {
    try_livepatch(input, options, launcher, observer, work)
        .map_err(|failure| failure.in_step(StepName::Trial))
}

fn try_livepatch(
    input: &TrialInput<'_>,
    options: &TrialOptions,
    launcher: &dyn QemuLauncher,
    observer: &dyn Observer,
    work: &Utf8Path,
) -> Result<TrialEvidence, Failure> {
    let secrets = Secrets::draw().map_err(|error| setup_failure(&error))?;
    let module = fs_err::read(input.module).map_err(|error| setup_failure(&error))?;
    let is_signed = SignedModule::split(&module).is_some();
    let initrd =
        trial_initrd(input, options, &secrets, &module).map_err(|error| setup_failure(&error))?;
    drop(module);
    let image = fs_err::read(input.kernel_image).map_err(|error| setup_failure(&error))?;
    let kernel_image = Sha256Digest::of(&image);
    drop(image);

    let log = |line: String| observer.event(BuildEvent::Log { step: StepName::Trial, line });
    log(format!("booting {} in QEMU ({})", input.release, options.accelerator));
    let plan = GuestPlan {
        kernel_image: input.kernel_image,
        initrd: &initrd,
        memory_mib: options.memory_mib,
        accelerator: options.accelerator,
        time_limit: options.time_limit,
        silence_limit: options.transition_limit + SILENCE_MARGIN,
    };
    let mut transcript = Transcript::new(&secrets.nonce);
    let mut phases_seen = 0;
    let run = run_guest(&plan, launcher, work, &mut |bytes| {
        transcript.feed(bytes);
        for (phase, seconds) in &transcript.phases[phases_seen..] {
            // Without checks, or modules, those phases are empty.
            let is_empty = match phase {
                Phase::Before | Phase::After | Phase::Reverted | Phase::Retired => {
                    input.checks.is_empty()
                }
                Phase::Modules => input.modules.is_empty(),
                _ => false,
            };
            if !is_empty {
                log(format!("{} (guest time {seconds:.2} s)", phase.describe()));
            }
        }
        phases_seen = transcript.phases.len();
        !observer.is_cancelled()
    })
    .map_err(|error| setup_failure(&error))?;

    let evidence = judge(&Course {
        input,
        options,
        transcript: &transcript,
        console: &ConsoleLog::read(&run.console),
        mark: &secrets.mark,
        is_signed,
        run: &run,
        kernel_image,
    })?;
    if is_signed {
        check_reported(&evidence, input.module_name)?;
    }
    Ok(evidence)
}

/// Two random words of one trial.
struct Secrets {
    /// Begins each line of the protocol.
    nonce: String,
    /// Is in the marks on the console, which anything in the guest can read.
    mark: String,
}

impl Secrets {
    fn draw() -> std::io::Result<Self> {
        let mut bytes = [0; 24];
        fs_err::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self { nonce: hex::encode(&bytes[..16]), mark: hex::encode(&bytes[16..]) })
    }
}

/// The guest's root file system. Everything that came from outside is a file of its own.
fn trial_initrd(
    input: &TrialInput<'_>,
    options: &TrialOptions,
    secrets: &Secrets,
    module: &[u8],
) -> std::io::Result<Vec<u8>> {
    let name = kernel_name(input.module_name)?;
    let mut initrd = Initrd::new()?;
    initrd.program("bin/busybox", &fs_err::read(input.busybox)?)?;
    initrd.program("init", include_bytes!("init.sh"))?;
    initrd.directory("trial")?;
    initrd.file("trial/module.ko", module)?;
    signature::add_copies(&mut initrd, module)?;
    if let Some(earlier) = &input.earlier {
        replacing::add_earlier(&mut initrd, earlier)?;
    }
    modules::add_modules(&mut initrd, input.modules)?;
    let settings = [
        ("nonce", secrets.nonce.clone()),
        ("mark", secrets.mark.clone()),
        ("name", name),
        ("transition-seconds", options.transition_limit.as_secs().to_string()),
        ("check-seconds", CHECK_SECONDS.to_string()),
        // One more than is kept: so a cut output is seen to be cut.
        ("check-bytes", (CHECK_OUTPUT_BYTES + 1).to_string()),
    ];
    for (name, value) in settings {
        initrd.file(&format!("trial/{name}"), format!("{value}\n").as_bytes())?;
    }
    initrd.directory("trial/checks")?;
    for (index, check) in input.checks.iter().enumerate() {
        let command = format!("{}\n", check.command);
        initrd.file(&format!("trial/checks/{index:02}"), command.as_bytes())?;
    }
    initrd.finish()
}

/// A module's name as sysfs and `/proc/modules` have it: without "-".
fn kernel_name(name: &str) -> std::io::Result<String> {
    let name = name.replace('-', "_");
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let text = format!("\"{}\" is not a module name", name.escape_debug());
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text));
    }
    Ok(name)
}

/// The trial never began: a file is missing, QEMU is not installed, the disk is full.
fn setup_failure(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Failure::new(
            FailureClass::DiskFull,
            format!("no room for the trial: {error}"),
            "free space on the worker's disk, then submit the build again",
        ),
        _ => Failure::new(
            FailureClass::TrialBootFailed,
            format!("the trial could not be set up: {error}"),
            "on the worker: apt-get install qemu-system-x86 busybox-static",
        ),
    }
}
