//! The compiler alone, as a reference: the command that Kbuild saved for an object, run twice.

use std::time::Instant;

use anyhow::Context;
use camino::Utf8Path;
use elivepatch_builder::{Overlay, Sandbox, SandboxCommand, SilentObserver};
use elivepatch_model::{FailureClass, StepName};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    command: Option<Command>,
}

#[derive(Deserialize)]
struct Command {
    shell: String,
}

/// How long the compiler takes for an object and its patched twin, one after the other, in seconds.
///
/// # Errors
/// When the base has no record of the object, or the command fails.
pub fn two_calls(
    sandbox: &Sandbox,
    root: &Utf8Path,
    base: &Utf8Path,
    object: &str,
    work: &Utf8Path,
) -> anyhow::Result<f64> {
    let shell = saved_command(base, object)?;
    let layer = work.join("compile-only.layer");
    sandbox.make_layer(&layer)?;
    let command = SandboxCommand::new(root, ["sh", "-e", "-c", &format!("{shell}\n{shell}")])
        .overlay(Overlay { lower: base.join("tree"), between: Vec::new(), layer })
        .directory("/build");
    let started = Instant::now();
    let class = FailureClass::Internal;
    sandbox.run_checked(&command, StepName::Compile, &SilentObserver, class)?;
    Ok(started.elapsed().as_secs_f64())
}

fn saved_command(base: &Utf8Path, object: &str) -> anyhow::Result<String> {
    for entry in base.join("originals").read_dir_utf8()? {
        let path = entry?.path().join("records").join(format!("{object}.json"));
        if let Ok(text) = fs_err::read(&path) {
            let record: Record = serde_json::from_slice(&text)?;
            return Ok(record.command.context("only make knows how to compile it")?.shell);
        }
    }
    anyhow::bail!("{base} has no original of {object}")
}
