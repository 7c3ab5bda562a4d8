use std::{fmt, time::Duration};

use camino::Utf8Path;

use super::{
    QemuLauncher,
    guest::{GuestEnd, GuestPlan, run_guest},
    initrd::Initrd,
};

/// How long a guest on KVM may take to print its marker. It needs about one second; where KVM
/// exists but does not work it stands still for ever.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// The probe's guest prints this on the second serial port.
const MARKER: &[u8] = b"elivepatch-probe: the guest runs\n";

/// The probe's first process: it shows that user space runs, and powers off.
const PROBE_INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
echo 'elivepatch-probe: the guest runs' >/dev/ttyS1
/bin/busybox poweroff -f
";

/// What runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// The processor itself, through `/dev/kvm`.
    Kvm,
    /// QEMU's software emulation: works everywhere.
    Tcg,
}

impl Accelerator {
    /// The name in manifests and for QEMU: `kvm` or `tcg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        }
    }

    /// Finds out what guests can use here: KVM only where a guest with `kernel_image` really comes
    /// up within seconds. `/dev/kvm` may be there and openable and still stop every guest.
    ///
    /// Takes up to 5 s, so the caller keeps the answer. `work` is a directory for its files.
    pub fn probe(
        launcher: &dyn QemuLauncher,
        kernel_image: &Utf8Path,
        busybox: &Utf8Path,
        work: &Utf8Path,
    ) -> Self {
        match kvm_problem(launcher, kernel_image, busybox, work) {
            None => Accelerator::Kvm,
            Some(problem) => {
                tracing::info!(%problem, "trials use software emulation");
                Accelerator::Tcg
            }
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why KVM cannot be used, or nothing when it can.
fn kvm_problem(
    launcher: &dyn QemuLauncher,
    kernel_image: &Utf8Path,
    busybox: &Utf8Path,
    work: &Utf8Path,
) -> Option<String> {
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Some(format!("/dev/kvm cannot be opened: {error}"));
    }
    match probe_guest(launcher, kernel_image, busybox, work, PROBE_LIMIT) {
        Ok(problem) => problem,
        Err(error) => Some(format!("a guest on KVM could not be started: {error}")),
    }
}

/// Runs the probe's guest; what is wrong with it, or nothing when it came up and went off.
fn probe_guest(
    launcher: &dyn QemuLauncher,
    kernel_image: &Utf8Path,
    busybox: &Utf8Path,
    work: &Utf8Path,
    limit: Duration,
) -> std::io::Result<Option<String>> {
    let mut initrd = Initrd::new()?;
    initrd.program("bin/busybox", &fs_err::read(busybox)?)?;
    initrd.program("init", PROBE_INIT.as_bytes())?;
    let plan = GuestPlan {
        kernel_image,
        initrd: &initrd.finish()?,
        memory_mib: 256,
        accelerator: Accelerator::Kvm,
        time_limit: limit,
        silence_limit: limit,
    };
    let mut heard = Vec::new();
    let run = run_guest(&plan, launcher, work, &mut |bytes| {
        heard.extend_from_slice(&bytes[..bytes.len().min(4096)]);
        heard.len() < 64 * 1024
    })?;
    // The power-off counts as well: a guest that stops half-way is no place for a trial.
    let marked = heard.windows(MARKER.len() - 1).any(|part| part == &MARKER[..MARKER.len() - 1]);
    Ok(match run.end {
        GuestEnd::Exited(status) if status.success() && marked => None,
        GuestEnd::Exited(status) => {
            let said = run.qemu_log.lines().next().unwrap_or("it said nothing").to_owned();
            Some(format!("QEMU with KVM ended with {status}: {said}"))
        }
        _ => Some(format!("a guest on KVM did not come up in {} s", limit.as_secs())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a shell command where QEMU would run: a KVM that hangs cannot be had at will.
    struct Shell(&'static str);

    impl QemuLauncher for Shell {
        fn command(
            &self,
            _arguments: &[String],
            _read_only: &[&Utf8Path],
            writable: &Utf8Path,
        ) -> std::process::Command {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", self.0]).current_dir(writable);
            command
        }
    }

    fn problem(script: &'static str) -> Option<String> {
        let directory = tempfile::tempdir().expect("a directory");
        let work = Utf8Path::from_path(directory.path()).expect("UTF-8");
        let busybox = work.join("busybox");
        fs_err::write(&busybox, "any program").expect("written");
        let limit = Duration::from_secs(1);
        probe_guest(&Shell(script), "/vmlinuz".into(), &busybox, work, limit).expect("a run")
    }

    #[test]
    fn guest_that_prints_the_marker_and_goes_off_is_well() {
        assert_eq!(problem("echo 'elivepatch-probe: the guest runs' >>protocol.log"), None);
    }

    #[test]
    fn guest_that_hangs_dies_or_is_mute_is_a_problem() {
        let hangs = "echo 'elivepatch-probe: the guest runs' >>protocol.log; exec sleep 30";
        for (script, part) in [
            (hangs, "did not come up in 1 s"),
            ("echo 'failed to set MSR' >&2; exit 134", "failed to set MSR"),
            ("exit 0", "it said nothing"),
        ] {
            let problem = problem(script).expect("a problem");
            assert!(problem.contains(part), "{problem}");
        }
    }
}
