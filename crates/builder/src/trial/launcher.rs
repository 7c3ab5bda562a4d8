use std::{io, process::Command};

use camino::Utf8Path;

/// Starts QEMU; the caller decides what is around it, such as a sandbox.
pub trait QemuLauncher: Send + Sync {
    /// The command that runs `qemu-system-x86_64` with `arguments`.
    ///
    /// `arguments` name files under the paths that they have here. QEMU reads `read_only` and reads
    /// and writes in the directory `writable`; it needs nothing else but, with `-accel kvm`,
    /// `/dev/kvm`. Killing the process that the command starts must end QEMU.
    fn command(
        &self,
        arguments: &[String],
        read_only: &[&Utf8Path],
        writable: &Utf8Path,
    ) -> Command;

    /// Makes sure that QEMU can write the files that lie in its directory already.
    ///
    /// # Errors
    /// When their owner cannot be changed.
    fn hand_over(&self, _files: &[&Utf8Path]) -> io::Result<()> {
        Ok(())
    }
}

/// Runs the QEMU in `PATH` as it is, without a sandbox: for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct DirectLauncher;

impl QemuLauncher for DirectLauncher {
    fn command(
        &self,
        arguments: &[String],
        _read_only: &[&Utf8Path],
        _writable: &Utf8Path,
    ) -> Command {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(arguments);
        command
    }
}
