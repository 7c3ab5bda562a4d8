//! Compiling by saved commands: many objects side by side in one sandbox, without the kernel's own
//! make, whose start-up takes longer than a compiler.

use elivepatch_model::Failure;

use crate::{
    Observer,
    base::Workspace,
    process::Finished,
    sandbox::{Sandbox, SandboxCommand},
};
use elivepatch_model::StepName;

/// An object to be compiled, with its command.
pub(in crate::engine) struct Job<'a> {
    /// The object, by its path in the tree.
    pub object: &'a str,
    /// The command.
    pub shell: &'a str,
}

/// Compiles objects in a workspace; all of them, also when some fail. Their exit codes count
/// together: the result succeeded when all did.
///
/// # Errors
/// Those of the sandbox.
pub(in crate::engine) fn compile_by_script(
    jobs: &[Job],
    cores: u32,
    workspace: &Workspace,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<Finished, Failure> {
    compile_by_script_in(StepName::Compile, jobs, cores, workspace, sandbox, observer)
}

/// The same in another step.
///
/// # Errors
/// Those of the sandbox.
pub(in crate::engine) fn compile_by_script_in(
    step: StepName,
    jobs: &[Job],
    cores: u32,
    workspace: &Workspace,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<Finished, Failure> {
    let mut inside = String::new();
    for (number, job) in jobs.iter().enumerate() {
        inside = workspace.write_input(&format!("compile-{number}.sh"), script(job).as_bytes())?;
    }
    let directory = inside.rsplit_once('/').map_or("", |(directory, _)| directory);
    let makefile = makefile(jobs.len(), directory);
    let makefile = workspace.write_input("compile.mk", makefile.as_bytes())?;
    let command: SandboxCommand = workspace.command([
        "make",
        &format!("--jobs={cores}"),
        "--keep-going",
        "--no-builtin-rules",
        // Without --output-sync: make would keep what a compiler prints until it ends, and the limit
        // on output could not stop a flood. Compilers write each message in one go.
        &format!("--makefile={makefile}"),
    ]);
    sandbox.run(&command, step, observer)
}

/// A shell script for one object. Kbuild's commands are lists that it runs under `set -e`, too:
/// the compiler, then objtool.
fn script(job: &Job) -> String {
    format!("set -e\necho '  CC      {}'\n{}\n", job.object, job.shell)
}

/// One rule for each script.
fn makefile(jobs: usize, directory: &str) -> String {
    let numbers: Vec<String> = (0..jobs).map(|number| number.to_string()).collect();
    let numbers = numbers.join(" ");
    format!(".PHONY: all {numbers}\nall: {numbers}\n{numbers}:\n\t@sh {directory}/compile-$@.sh\n")
}
