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
    let own_name = program_of(&command);
    let mut watch = |_: &Child| observer.is_cancelled().then_some(Ended::Cancelled);
    let finished = supervise(command, INSTALL_LIMITS, on_line, &mut watch)
        .map_err(|error| not_installed(&own_name, &error.to_string()))?;
    if let Some(name) = finished.missing_program() {
        return Err(not_installed(&name, "it is not installed"));
    }
    match &finished.ended {
        Ended::Cancelled => Err(cancelled()),
        Ended::LimitExceeded(reason) => Err(failure(
            format!("{own_name} was stopped: it {reason}"),
            "is the mirror, the disk or the machine that slow? Look at its last lines, and try again",
        )
        .with_details(finished.last_lines(5))),
        _ => Ok(finished),
    }
}

/// The program that the others of a command line run in the end: each begins with `--`.
fn program_of(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let after = words.iter().rposition(|word| word == "--").and_then(|at| words.get(at + 1));
    after.map_or_else(
        || command.get_program().to_string_lossy().into_owned(),
        |word| word.to_string(),
    )
}

pub(super) fn not_installed(program: &str, why: &str) -> Failure {
    let package = match program {
        "bwrap" => "bubblewrap",
        "dpkg-deb" | "dpkg-query" => "dpkg",
        "unshare" | "setpriv" => "util-linux",
        name => name,
    };
    failure(format!("cannot run {program}: {why}"), format!("apt-get install {package}"))
}

/// Adds a line to the log.
pub(super) fn log(observer: &dyn Observer, line: String) {
    observer.event(BuildEvent::Log { step: StepName::Toolchain, line });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SilentObserver;

    #[test]
    fn program_is_named_and_not_what_starts_it() {
        assert_eq!(program_of(&Command::new("tar")), "tar");
        let mut mmdebstrap = mortal("unshare");
        mmdebstrap.args(["--pid", "--", "mmdebstrap", "--mode=root"]);
        assert_eq!(program_of(&mmdebstrap), "mmdebstrap");
        assert_eq!(program_of(&in_root(Utf8Path::new("/"), &["gcc", "--version"])), "gcc");
    }

    #[test]
    fn program_that_is_not_installed_is_named_with_its_package() {
        let failure = run(mortal("elivepatch-no-such"), &SilentObserver).expect_err("not there");
        assert_eq!(failure.class, FailureClass::ToolchainFailed);
        assert_eq!(failure.message, "cannot run elivepatch-no-such: it is not installed");
        assert_eq!(failure.hint, "apt-get install elivepatch-no-such");
        assert_eq!(not_installed("bwrap", "").hint, "apt-get install bubblewrap");
    }
}
