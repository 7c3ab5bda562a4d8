//! The compiler alone, as a reference: the command that Kbuild saved for an object, run twice.

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

/// Begins the line in which the shell says how long the commands took.
const TOOK: &str = "compile-only nanoseconds: ";

/// How long the compiler takes for an object and its patched twin, one after the other, in seconds. The
/// clock is read in the sandbox, around the commands: setting up sandbox and overlay is our own work,
/// and no part of what it is compared with.
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
    let command = SandboxCommand::new(root, ["sh", "-e", "-c", &timed_script(&shell)])
        .overlay(Overlay { lower: base.join("tree"), between: Vec::new(), layer })
        .directory("/build");
    let class = FailureClass::Internal;
    let finished = sandbox.run_checked(&command, StepName::Compile, &SilentObserver, class)?;
    seconds(&finished.text())
}

/// The command twice, and how long both took.
fn timed_script(shell: &str) -> String {
    format!(
        "began=$(date +%s%N)\n{shell}\n{shell}\nended=$(date +%s%N)\n\
         echo \"{TOOK}$((ended - began))\""
    )
}

/// What the script said last, in seconds.
fn seconds(output: &str) -> anyhow::Result<f64> {
    let line = output.lines().rev().find_map(|line| line.strip_prefix(TOOK));
    let nanoseconds: u64 = line.context("the shell did not say how long it took")?.parse()?;
    Ok(nanoseconds as f64 / 1e9)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_commands_are_timed_and_nothing_else() {
        let began = std::time::Instant::now();
        let output = std::process::Command::new("sh")
            .args(["-e", "-c", &format!("sleep 0.5\n{}", timed_script("echo warning; sleep 0.2"))])
            .output()
            .expect("a shell");
        let took = seconds(&String::from_utf8_lossy(&output.stdout)).expect("it says so");
        // What lies before does not count, however long all of it takes on a busy machine.
        let most = began.elapsed().as_secs_f64() - 0.5;
        assert!(took >= 0.4 && took <= most, "{took} {most}");
        assert!(seconds("warning\n").is_err());
    }
}
