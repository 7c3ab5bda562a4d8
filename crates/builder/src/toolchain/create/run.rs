//! Running what makes a toolchain root, and what is asked in it.

use std::{
    process::{Child, Command},
    time::Duration,
};

use camino::Utf8Path;
use elivepatch_model::{BuildEvent, Failure, FailureClass, StepName};

use crate::{
    Observer,
    failures::cancelled,
    process::{Ended, Finished, ProcessLimits, mortal_command, supervise},
};

/// Installing 150 packages over a slow line takes its time; a line of output comes with each.
const INSTALL_LIMITS: ProcessLimits = ProcessLimits {
    time: Duration::from_secs(3600),
    silence: Duration::from_secs(900),
    output_bytes: 64 * 1024 * 1024,
};

/// A failure of making a toolchain root.
pub(super) fn failure(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(FailureClass::ToolchainFailed, message, hint)
}

/// A program that ends with this process.
pub(super) fn mortal(program: &str) -> Command {
    mortal_command(program)
}

/// A program in the root, shown as a build's sandbox shows it: its `/usr` and `/etc`, read-only, and
/// no network.
pub(super) fn in_root(root: &Utf8Path, words: &[&str]) -> Command {
    let mut bwrap = mortal_command("bwrap");
    bwrap.args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]);
    for directory in ["usr", "etc"] {
        bwrap.args(["--ro-bind", root.join(directory).as_str(), &format!("/{directory}")]);
    }
    for directory in ["bin", "sbin", "lib", "lib64"] {
        bwrap.args(["--symlink", &format!("usr/{directory}"), &format!("/{directory}")]);
    }
    bwrap.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    bwrap.args(["--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin", "--setenv", "LC_ALL", "C"]);
    bwrap.arg("--").args(words);
    bwrap
}

/// Runs a program; each line of its output goes to the log.
pub(super) fn run(command: Command, observer: &dyn Observer) -> Result<Finished, Failure> {
    run_with(command, observer, &mut |line| log(observer, line.to_owned()))
}

/// Runs a program whose output only the caller reads.
pub(super) fn run_quietly(command: Command, observer: &dyn Observer) -> Result<Finished, Failure> {
    run_with(command, observer, &mut |_| {})
}

fn run_with(
    command: Command,
    observer: &dyn Observer,
    on_line: &mut dyn FnMut(&str),
) -> Result<Finished, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut watch = |_: &Child| observer.is_cancelled().then_some(Ended::Cancelled);
    let finished = supervise(command, INSTALL_LIMITS, on_line, &mut watch).map_err(|error| {
        Failure::new(
            FailureClass::ToolchainFailed,
            format!("cannot run {name}: {error}"),
            format!("apt-get install {name}"),
        )
    })?;
    if finished.ended == Ended::Cancelled { Err(cancelled()) } else { Ok(finished) }
}

/// Adds a line to the log.
pub(super) fn log(observer: &dyn Observer, line: String) {
    observer.event(BuildEvent::Log { step: StepName::Toolchain, line });
}
