//! What the client finds out about the kernel to be patched.

pub mod config_file;
mod elf_notes;
pub mod release;
pub mod running;

use std::path::Path;

use elivepatch_model::{KernelRelease, TargetFacts};

use self::{config_file::ConfigFile, release::Evidence, running::RunningKernel};
use crate::{
    output::say,
    problem::{Problem, warn},
};

/// The kernel to be patched, as it is sent.
pub struct Target {
    /// What is said of it.
    pub facts: TargetFacts,
    /// Its config.
    pub config: ConfigFile,
}

/// Reads the config (`None`: that of the running kernel) and works out the rest. Says on standard
/// error which release was taken, and what speaks against it.
pub fn find(config: Option<&Path>, requested: Option<&KernelRelease>) -> Result<Target, Problem> {
    let kernel = RunningKernel::inspect();
    let (config, config_is_running) = match config {
        None => (config_file::read_running(&kernel)?, true),
        Some(path) => {
            let config = config_file::read(path)?;
            let is_running = config_file::read_running(&kernel)
                .is_ok_and(|running| running.config == config.config);
            (config, is_running)
        }
    };
    let detected = release::detect(&Evidence {
        requested,
        running: kernel.release.as_ref(),
        config_is_running,
        file_name: config.path.file_name().and_then(|name| name.to_str()),
        config: &config.config,
    })
    .ok_or_else(|| {
        let path = config.path.display();
        Problem::input(format!("cannot tell which kernel release {path} belongs to"))
            .hint("say it as uname -r prints it on the machine to be patched: --kernel RELEASE")
    })?;
    for doubt in &detected.doubts {
        warn(&format!("{doubt}; if that is wrong, give the release with --kernel RELEASE"));
    }
    let release = detected.release;
    let origin = detected.origin.describe();
    say(&format!("kernel: {release} (from {origin}; config {})", config.path.display()));
    let is_running = config_is_running && kernel.release.as_ref() == Some(&release);
    let architecture = config.config.architecture().map_err(|error| {
        Problem::input(format!("{} cannot be used", config.path.display())).caused_by(&error)
    })?;
    let facts = TargetFacts {
        release,
        architecture,
        build_id: is_running.then(|| kernel.build_id()).flatten(),
        kernel_version: is_running.then(|| kernel.version.clone()),
    };
    Ok(Target { facts, config })
}
