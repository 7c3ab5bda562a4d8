//! The sandbox that compilers, make and kpatch's tools run in.
//!
//! Patches, configs and source are untrusted input to programs that were not made for that: a
//! Makefile alone can run anything. So every such program runs under bubblewrap with all
//! namespaces of its own, no network, a toolchain root and a base that it can only read, and one
//! directory that it can write. When the server runs as root, the sandbox does not: a mount namespace
//! makes the directories reachable, then `setpriv` takes root away for good, and bubblewrap is
//! started by a user who owns nothing (see docs/adr/0003).
//!
//! Limits are rlimits (processes, address space, file size) that the tools inherit, and a watch by
//! the supervisor (time, silence, output, memory in all, disk). Control groups are not used.

mod command;
mod failure;
mod layers;
mod limits;
mod namespaces;
mod watch;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use elivepatch_model::{BuildEvent, Failure, FailureClass, StepName};

pub use command::{Overlay, SandboxCommand};
pub use limits::SandboxLimits;
pub(crate) use namespaces::how_to_allow;
pub use watch::DiskUse;
#[cfg(test)]
pub(crate) use watch::with_descendants;

use self::failure::{cannot_start, limit_failure};
use crate::{
    Observer,
    process::{Ended, Finished, ProcessLimits, supervise},
    remove_work_directory,
};

/// The user and group that sandboxes run as when the server is root. Debian policy leaves
/// 65520–65533 unused (chapter 9.2.2 reserves them), so no file of the machine belongs to it.
pub const SANDBOX_USER_ID: u32 = 65_520;

/// How sandboxes are made on this machine.
#[derive(Debug, Clone)]
pub struct Sandbox {
    limits: SandboxLimits,
    /// Whether the server is root, so that root has to be given up on the way in.
    drops_root: bool,
    overlays: bool,
}

impl Sandbox {
    /// Finds out what this machine allows, by running a tool in a sandbox.
    ///
    /// # Errors
    /// When bubblewrap is missing, or the kernel does not let it make namespaces.
    pub fn probe(limits: SandboxLimits, scratch: &Utf8Path) -> Result<Self, Failure> {
        let drops_root = rustix::process::geteuid().is_root();
        let mut sandbox = Self { limits, drops_root, overlays: false };
        let host = Utf8Path::new("/");
        let plain = sandbox.run_probe(SandboxCommand::new(host, ["true"]))?;
        if !plain.succeeded() {
            return Err(Failure::new(
                FailureClass::SandboxFailed,
                "bubblewrap cannot make a sandbox on this machine",
                how_to_allow(),
            )
            .with_details(plain.last_lines(5)));
        }
        let (lower, layer) = (scratch.join("lower"), scratch.join("layer"));
        sandbox.make_directory(&lower)?;
        sandbox.make_layer(&layer)?;
        let overlay = SandboxCommand::new(host, ["touch", "/build/written"]).overlay(Overlay {
            lower,
            between: Vec::new(),
            layer,
        });
        sandbox.overlays = sandbox.run_probe(overlay)?.succeeded();
        // Users other than root cannot remove what overlayfs leaves as it is: whoever made the scratch
        // directory would leave it.
        if let Err(error) = remove_work_directory(&scratch.join("layer")) {
            tracing::warn!("cannot remove what was tried in {scratch}: {error}");
        }
        Ok(sandbox)
    }

    /// The same sandbox without overlays, whatever the machine allows.
    #[must_use]
    pub fn without_overlays(mut self) -> Self {
        self.overlays = false;
        self
    }

    /// The same sandbox with other limits.
    #[must_use]
    pub fn with_limits(&self, limits: SandboxLimits) -> Self {
        Self { limits, ..self.clone() }
    }

    fn run_probe(&self, command: SandboxCommand) -> Result<Finished, Failure> {
        let process = self.command(&command);
        let limits = ProcessLimits {
            time: Duration::from_secs(30),
            silence: Duration::from_secs(30),
            output_bytes: 64 * 1024,
        };
        supervise(process, limits, &mut |_| {}, &mut |_| None).map_err(|error| cannot_start(&error))
    }

    /// Whether the sandbox can put a writable layer over a base; if not, bases are copied.
    pub fn overlays(&self) -> bool {
        self.overlays
    }

    /// Whether sandboxes run as another user than the server.
    pub fn drops_root(&self) -> bool {
        self.drops_root
    }

    /// The limits, and how they are enforced, for people.
    pub fn describe(&self) -> String {
        let user = if self.drops_root {
            format!("user {SANDBOX_USER_ID}")
        } else {
            "the server's own user".to_owned()
        };
        let limits = &self.limits;
        format!(
            "sandbox: bubblewrap as {user}, no network; at most {} MiB of memory, {} processes, \
             {} MiB of disk, {} s a tool (rlimits and supervision, no control groups); bases are {}",
            limits.memory_bytes >> 20,
            limits.processes,
            limits.disk_bytes >> 20,
            limits.time.as_secs(),
            if self.overlays {
                "shared by overlay"
            } else {
                "copied: overlayfs is not allowed here or switched off"
            },
        )
    }

    /// Makes a directory (and its parents) that tools in the sandbox can write.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_directory(&self, path: &Utf8Path) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            crate::failures::io_failure(FailureClass::SandboxFailed, "make", path, &error)
        };
        fs_err::create_dir_all(path).map_err(failed)?;
        self.hand_over(path).map_err(failed)
    }

    /// Gives a file or directory to the user that tools in the sandbox run as.
    ///
    /// # Errors
    /// When its owner cannot be changed.
    pub fn hand_over(&self, path: &Utf8Path) -> std::io::Result<()> {
        let id = self.drops_root.then_some(SANDBOX_USER_ID);
        std::os::unix::fs::chown(path, id, id)
    }

    /// Makes the directories of a writable layer ([`Overlay::layer`]).
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn make_layer(&self, layer: &Utf8Path) -> Result<(), Failure> {
        self.make_directory(layer)?;
        self.make_directory(&layer.join("upper"))?;
        self.make_directory(&layer.join("work"))
    }

    /// The process that runs `command` in a sandbox.
    pub fn command(&self, command: &SandboxCommand) -> Command {
        layers::build(command, &self.limits, self.drops_root, "")
    }

    /// Runs a tool to its end, and reports its output line by line as log of `step`.
    ///
    /// The exit code is the caller's to look at.
    ///
    /// # Errors
    /// When the tool cannot be started (`sandbox-failed`), goes over a limit (`limit-exceeded`),
    /// fills the disk (`disk-full`) or the build is cancelled.
    pub fn run(
        &self,
        command: &SandboxCommand,
        step: StepName,
        observer: &dyn Observer,
    ) -> Result<Finished, Failure> {
        let name = command.name();
        let mut is_ready = false;
        let mut on_line = |line: &str| {
            if !is_ready && line == layers::READY {
                is_ready = true;
                return;
            }
            observer.event(BuildEvent::Log { step, line: line.to_owned() });
        };
        let disk = DiskUse::new(command.writable_directories(), self.limits.disk_bytes);
        let mut next_look = Instant::now() + watch::INTERVAL;
        let mut watch = |child: &std::process::Child| {
            if observer.is_cancelled() {
                return Some(Ended::Cancelled);
            }
            // At each tick: what fills the disk between two looks at the rest is seen, too.
            let full = disk.nearly_full();
            if full.is_some() || Instant::now() < next_look {
                return full;
            }
            let begun = Instant::now();
            let over = watch::memory_over(child.id(), self.limits.memory_bytes)
                .map(Ended::LimitExceeded)
                .or_else(|| disk.over());
            // Looking at a source tree of 80,000 files takes its time: spend a tenth on it at most.
            next_look = Instant::now() + watch::INTERVAL.max(begun.elapsed() * 9);
            over
        };
        let limits = ProcessLimits {
            time: self.limits.time,
            silence: self.limits.silence,
            output_bytes: self.limits.output_bytes,
        };
        let started = Instant::now();
        let process = layers::build(command, &self.limits, self.drops_root, layers::READY);
        let mut finished = supervise(process, limits, &mut on_line, &mut watch)
            .map_err(|error| cannot_start(&error))?;
        // `make bench` reads these lines: when each tool ran, and so what was not a tool's time.
        let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
        tracing::debug!(tool = name, %step, milliseconds, "tool ended");
        let line = format!("{}\n", layers::READY).into_bytes();
        if is_ready && finished.output.starts_with(&line) {
            finished.output.drain(..line.len());
        }
        if !finished.succeeded()
            && let Some(failure) = limit_failure(name, &finished, is_ready, &disk)
        {
            return Err(failure);
        }
        Ok(finished)
    }

    /// Runs a tool that must exit with code 0.
    ///
    /// # Errors
    /// As [`Sandbox::run`]; and with `class` when the exit code is another one: the message names
    /// the tool and its code, the details hold its last lines.
    pub fn run_checked(
        &self,
        command: &SandboxCommand,
        step: StepName,
        observer: &dyn Observer,
        class: FailureClass,
    ) -> Result<Finished, Failure> {
        let finished = self.run(command, step, observer)?;
        if finished.succeeded() {
            return Ok(finished);
        }
        let how = match finished.code() {
            Some(code) => format!("with code {code}"),
            None => "by a signal".to_owned(),
        };
        Err(Failure::new(
            class,
            format!("{} ended {how}", command.name()),
            "the last lines of its output are below; the build's log has all of it",
        )
        .with_details(finished.last_lines(20)))
    }
}
