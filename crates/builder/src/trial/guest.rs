//! One run of QEMU: its arguments, its two serial ports as files, its end.

use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::process::CommandExt,
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::{Accelerator, QemuLauncher};

/// The largest console that is read, in bytes. A cloud kernel boots with 24 kB; an oops has 6 kB.
const CONSOLE_BYTES: u64 = 2 * 1024 * 1024;

/// The largest protocol that is read, in bytes: sixteen checks with six outputs each, in
/// hexadecimal, are under 4 MiB.
const PROTOCOL_BYTES: u64 = 8 * 1024 * 1024;

/// How much of what QEMU itself prints is kept, in bytes.
const QEMU_LOG_BYTES: u64 = 16 * 1024;

/// How often the guest's output is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The kernel's command line. `oops=panic panic=-1` with `-no-reboot` ends QEMU at once when the
/// kernel is broken; `printk.devkmsg=on` keeps the marks from being rate-limited. `no_timer_check`: a guest
/// under software emulation on a busy machine misses the ticks by which the kernel tries its timer, and
/// panics ("IO-APIC + timer doesn't work!"); kernels that find themselves under KVM set it by themselves
/// (`paravirt_ops_setup` in `arch/x86/kernel/kvm.c`).
const COMMAND_LINE: &str = "console=ttyS0 ignore_loglevel printk.devkmsg=on oops=panic panic=-1 \
                            no_timer_check rdinit=/init";

/// What a guest is made of.
pub(crate) struct GuestPlan<'a> {
    /// The kernel image to boot.
    pub(crate) kernel_image: &'a Utf8Path,
    /// The archive that the kernel unpacks as its root file system.
    pub(crate) initrd: &'a [u8],
    /// The guest's memory, in MiB.
    pub(crate) memory_mib: u32,
    /// What runs its instructions.
    pub(crate) accelerator: Accelerator,
    /// From start to end, at most.
    pub(crate) time_limit: Duration,
    /// Without a byte on either port, at most.
    pub(crate) silence_limit: Duration,
}

/// How a guest came to its end.
#[derive(Debug)]
pub(crate) enum GuestEnd {
    /// QEMU ended by itself: power-off, a panic, or its own failure.
    Exited(ExitStatus),
    /// It ran longer than its time limit and was killed.
    TimedOut,
    /// It said nothing for longer than the silence limit and was killed.
    Silent,
    /// It wrote more than is read and was killed.
    TooMuchOutput,
    /// The watcher had seen enough and it was killed.
    Stopped,
}

/// What a guest left behind.
#[derive(Debug)]
pub(crate) struct GuestRun {
    /// How it ended.
    pub(crate) end: GuestEnd,
    /// From start to end.
    pub(crate) duration: Duration,
    /// All that came over the first serial port, up to the limit.
    pub(crate) console: Vec<u8>,
    /// The end of what QEMU itself printed.
    pub(crate) qemu_log: String,
}

/// Runs a guest in the directory `work` until it ends or has to be ended.
///
/// `watch` is called many times a second with the new bytes of the second serial port, also when
/// there are none; it returns false to stop the guest.
///
/// # Errors
/// When files in `work` cannot be written or read, or QEMU cannot be started; the text names which.
pub(crate) fn run_guest(
    plan: &GuestPlan<'_>,
    launcher: &dyn QemuLauncher,
    work: &Utf8Path,
    watch: &mut dyn FnMut(&[u8]) -> bool,
) -> io::Result<GuestRun> {
    let paths = GuestPaths::in_directory(work);
    fs_err::write(&paths.initrd, plan.initrd)?;
    // Made here: QEMU may not have opened them yet when they are first read.
    fs_err::write(&paths.console, b"")?;
    fs_err::write(&paths.protocol, b"")?;
    let qemu_log_writer = fs_err::File::create(&paths.qemu_log)?.into_file();
    let qemu_log = fs_err::File::open(&paths.qemu_log)?.into_file();
    launcher.hand_over(&[&paths.console, &paths.protocol])?;
    let mut protocol = fs_err::File::open(&paths.protocol)?.into_file();
    // Opened before QEMU runs, and never again by name: QEMU could put a link in its place.
    let console_log = fs_err::File::open(&paths.console)?.into_file();

    let mut command = launcher.command(&arguments(plan, &paths), &[plan.kernel_image], work);
    command.stdin(Stdio::null()).stdout(qemu_log_writer.try_clone()?).stderr(qemu_log_writer);
    // A group of its own: Ctrl-C on a terminal is for us, and we end the guest.
    command.process_group(0);
    let started = Instant::now();
    let child = command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        io::Error::new(error.kind(), format!("{program} could not be started: {error}"))
    })?;
    let mut process = Process(child);

    let mut spoken: u64 = 0;
    let mut printed: u64 = 0;
    let mut last_sign = started;
    let end = loop {
        // Asked before reading, so that nothing said before the end is missed.
        let exited = process.0.try_wait()?;
        let mut news = Vec::new();
        protocol.by_ref().take(PROTOCOL_BYTES.saturating_sub(spoken)).read_to_end(&mut news)?;
        spoken += news.len() as u64;
        let console = console_log.metadata()?.len();
        if !news.is_empty() || console != printed {
            last_sign = Instant::now();
            printed = console;
        }
        let go_on = watch(&news);
        if let Some(status) = exited {
            break GuestEnd::Exited(status);
        } else if !go_on {
            break GuestEnd::Stopped;
        } else if spoken >= PROTOCOL_BYTES || console > CONSOLE_BYTES {
            break GuestEnd::TooMuchOutput;
        } else if started.elapsed() > plan.time_limit {
            break GuestEnd::TimedOut;
        } else if last_sign.elapsed() > plan.silence_limit {
            break GuestEnd::Silent;
        }
        std::thread::sleep(POLL);
    };
    drop(process);
    let duration = started.elapsed();
    let console = read_beginning(console_log, CONSOLE_BYTES)?;
    let qemu_log = read_beginning(qemu_log, QEMU_LOG_BYTES)?;
    let qemu_log = String::from_utf8_lossy(&qemu_log).into_owned();
    Ok(GuestRun { end, duration, console, qemu_log })
}

/// The files of one run.
struct GuestPaths {
    initrd: Utf8PathBuf,
    console: Utf8PathBuf,
    protocol: Utf8PathBuf,
    qemu_log: Utf8PathBuf,
}

impl GuestPaths {
    fn in_directory(work: &Utf8Path) -> Self {
        Self {
            initrd: work.join("initrd.cpio"),
            console: work.join("console.log"),
            protocol: work.join("protocol.log"),
            qemu_log: work.join("qemu.log"),
        }
    }
}

/// A QEMU that does not outlive its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Once it was waited for, its id may belong to another process.
        if matches!(self.0.try_wait(), Ok(None)) {
            if let Some(group) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// The arguments of `qemu-system-x86_64`.
fn arguments(plan: &GuestPlan<'_>, paths: &GuestPaths) -> Vec<String> {
    let (accelerator, processor, processors) = match plan.accelerator {
        Accelerator::Kvm => ("kvm", "host", "2"),
        // "max" boots faster than the default processor and has the features for which a real
        // kernel patches its own code. The translation buffer would take 1 GiB by default. With a
        // second processor emulation takes twice as long: 5 s instead of 2.5 s for a cloud kernel.
        Accelerator::Tcg => ("tcg,tb-size=128", "max", "1"),
    };
    let memory = plan.memory_mib.to_string();
    let console = format!("file,id=console,path={}", escaped(&paths.console));
    let protocol = format!("file,id=protocol,path={}", escaped(&paths.protocol));
    [
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-machine",
        "pc",
        "-accel",
        accelerator,
        "-cpu",
        processor,
        "-smp",
        processors,
        "-m",
        &memory,
        "-kernel",
        plan.kernel_image.as_str(),
        "-initrd",
        paths.initrd.as_str(),
        "-append",
        COMMAND_LINE,
        "-chardev",
        &console,
        "-serial",
        "chardev:console",
        "-chardev",
        &protocol,
        "-serial",
        "chardev:protocol",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A path inside an option's value, where a comma begins the next key.
fn escaped(path: &Utf8Path) -> String {
    path.as_str().replace(',', ",,")
}

fn read_beginning(mut file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;
