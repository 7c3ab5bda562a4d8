use std::{io, process::Command};

use camino::Utf8Path;

use crate::{
    sandbox::{Sandbox, SandboxCommand},
    trial::QemuLauncher,
};

/// Runs QEMU in the sandbox, with the machine's own programs: a guest's kernel runs the code of a
/// stranger, and QEMU is a large program.
pub(crate) struct SandboxedQemu<'a>(pub &'a Sandbox);

impl QemuLauncher for SandboxedQemu<'_> {
    fn command(
        &self,
        arguments: &[String],
        read_only: &[&Utf8Path],
        writable: &Utf8Path,
    ) -> Command {
        let mut words = vec!["qemu-system-x86_64".to_owned()];
        words.extend(arguments.iter().cloned());
        let mut command = SandboxCommand::new(Utf8Path::new("/"), words).device("/dev/kvm");
        for path in read_only {
            command = command.read_only(path, path.as_str());
        }
        self.0.command(&command.writable(writable, writable.as_str()))
    }

    fn hand_over(&self, files: &[&Utf8Path]) -> io::Result<()> {
        files.iter().try_for_each(|file| self.0.hand_over(file))
    }
}
