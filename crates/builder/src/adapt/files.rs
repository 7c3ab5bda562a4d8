//! Reading and writing source files of a workspace. What lies there was written by tools, so that
//! only tools in the sandbox touch it.

use elivepatch_model::{Failure, FailureClass, StepName};

use crate::{Observer, base::Workspace, sandbox::Sandbox};

/// The largest source file that is adapted, in bytes. The largest of Linux 7.3, a header of
/// register masks, has some 25 MB.
pub(super) const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Copies each argument to `/scratch/source-NUMBER`.
const COPY_OUT: &str = r#"number=0
for file in "$@"; do
    cp --remove-destination -- "$file" "/scratch/source-$number" || exit 1
    number=$((number + 1))
done"#;

/// Copies `/inputs/PREFIX-NUMBER` over each argument after the first, which is the prefix. The old
/// file is removed before: whatever it is, it is not written through.
const COPY_IN: &str = r#"prefix=$1 number=0
shift
for file in "$@"; do
    cp --remove-destination -- "/inputs/$prefix-$number" "$file" || exit 1
    number=$((number + 1))
done"#;

/// The content of files of the source tree, as they are in the workspace.
pub(super) fn read(
    files: &[String],
    workspace: &Workspace,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<Vec<Vec<u8>>, Failure> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    run([COPY_OUT, "sh"], files, workspace, sandbox, observer)?;
    (0..files.len())
        .map(|number| {
            let name = format!("source-{number}");
            workspace.take_output(&name, FILE_BYTES, FailureClass::Internal)
        })
        .collect()
}

/// Replaces files of the source tree. `prefix` is for the names of the inputs, which last as long
/// as the workspace.
pub(super) fn write(
    prefix: &str,
    files: &[(String, Vec<u8>)],
    workspace: &Workspace,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    for (number, (_, text)) in files.iter().enumerate() {
        workspace.write_input(&format!("{prefix}-{number}"), text)?;
    }
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    run([COPY_IN, "sh", prefix], &names, workspace, sandbox, observer)
}

/// Runs a script: its text, its name and its first arguments, then the files.
fn run<const N: usize>(
    script: [&str; N],
    files: &[String],
    workspace: &Workspace,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    let mut words = vec!["sh".to_owned(), "-c".to_owned()];
    words.extend(script.map(str::to_owned));
    words.extend(files.iter().cloned());
    let command = workspace.command(words);
    sandbox.run_checked(&command, StepName::Check, observer, FailureClass::Internal).map(drop)
}
