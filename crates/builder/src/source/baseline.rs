//! The patches that are compiled into the target's kernel, and that its source does not have.

use camino::Utf8Path;
use elivepatch_model::{BuildEvent, Failure, FailureClass, PatchRecord, Sha256Digest, StepName};

use super::{TreeFacts, directory};
use crate::{
    Observer,
    base::{TREE, WORK},
    failures::io_failure,
    process::Finished,
    sandbox::{Sandbox, SandboxCommand},
};

/// A patch that is compiled into the target's kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselinePatch {
    /// Its name, for people.
    pub name: String,
    /// The patch as it was sent.
    pub text: Vec<u8>,
}

impl BaselinePatch {
    /// The record for the manifest.
    pub fn record(&self) -> PatchRecord {
        PatchRecord { name: self.name.clone(), digest: Sha256Digest::of(&self.text) }
    }
}

impl TreeFacts {
    /// The same with patches on it.
    #[must_use]
    pub(crate) fn with_baseline(mut self, patches: &[BaselinePatch]) -> Self {
        self.baseline = patches.iter().map(BaselinePatch::record).collect();
        self
    }
}

/// Where a source is unpacked, and by what.
pub(crate) struct Unpacking<'a> {
    /// The directory of the tree, which belongs to the sandbox's user.
    pub tree: &'a Utf8Path,
    /// A directory for what is needed meanwhile.
    pub scratch: &'a Utf8Path,
    /// The file system with the tools.
    pub toolchain_root: &'a Utf8Path,
    /// Where they run.
    pub sandbox: &'a Sandbox,
    /// Who hears of it.
    pub observer: &'a dyn Observer,
}

impl Unpacking<'_> {
    /// A command that works in the tree.
    pub(super) fn command<S: Into<String>>(
        &self,
        program: impl IntoIterator<Item = S>,
    ) -> SandboxCommand {
        SandboxCommand::new(self.toolchain_root, program)
            .writable(self.tree, TREE)
            .writable(self.scratch, WORK)
            .directory(TREE)
    }

    /// Applies a patch to the tree with GNU patch, which must not guess: the hunks that do not fit, or
    /// fit only with fuzz, are told by their files and numbers. Nothing of the tree's is trusted afterwards,
    /// for a patch may have put links and files anywhere in it.
    ///
    /// # Errors
    /// What [`Unpacking::command`]'s tools give; the inner value is what does not fit, a line each.
    pub(super) fn apply(&self, patch: &Utf8Path) -> Result<Result<(), Vec<String>>, Failure> {
        let input = "/inputs/patch";
        let words = [
            "patch",
            "--strip=1",
            "--fuzz=0",
            "--unified",
            "--forward",
            "--batch",
            "--no-backup-if-mismatch",
            "--reject-file=-",
            &format!("--input={input}"),
        ];
        let command = self.command(words).read_only(patch, input);
        let finished = self.sandbox.run(&command, StepName::Base, self.observer)?;
        if !finished.succeeded() {
            return Ok(Err(misfits(&finished)));
        }
        directory::check(self.tree)?;
        Ok(Ok(()))
    }
}

/// Applies the patches that are compiled into the target's kernel to its unpacked source, in their
/// order. `source` is the source's name for people.
///
/// # Errors
/// `baseline-does-not-apply`, naming patch, file and hunk; those of the sandbox.
pub(crate) fn apply_baseline(
    patches: &[BaselinePatch],
    source: &str,
    unpacking: &Unpacking,
) -> Result<(), Failure> {
    for BaselinePatch { name, text } in patches {
        let line = format!("applying the baseline patch {name}");
        unpacking.observer.event(BuildEvent::Log { step: StepName::Base, line });
        let file = temporary_file(text, unpacking.sandbox)?;
        let path = Utf8Path::from_path(file.path()).unwrap_or(Utf8Path::new("/dev/null"));
        let misfits = match unpacking.apply(path) {
            Ok(Ok(())) => continue,
            Ok(Err(misfits)) => misfits,
            Err(failure) if failure.class == FailureClass::SourceUnusable => vec![failure.message],
            Err(failure) => return Err(failure),
        };
        let first = misfits.first().map_or("it cannot be read", String::as_str);
        return Err(Failure::new(
            FailureClass::BaselineDoesNotApply,
            format!("the baseline patch {name} does not apply to {source}: {first}"),
            "send the patches that were applied when the running kernel was built, all of them and in \
             that order; a patch that the source already has is none of them",
        )
        .with_details(misfits.into_iter().skip(1)));
    }
    Ok(())
}

/// A file that tools in the sandbox can read. It lies beside what they can write: they may have put a
/// link there.
pub(super) fn temporary_file(
    text: &[u8],
    sandbox: &Sandbox,
) -> Result<tempfile::NamedTempFile, Failure> {
    let made = || -> std::io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::NamedTempFile::new()?;
        std::io::Write::write_all(&mut file, text)?;
        sandbox.hand_over(Utf8Path::from_path(file.path()).unwrap_or(Utf8Path::new("")))?;
        Ok(file)
    };
    made().map_err(|error| {
        let place = std::env::temp_dir();
        let place = Utf8Path::from_path(&place).unwrap_or(Utf8Path::new("/tmp"));
        io_failure(FailureClass::BaseFailed, "write a file in", place, &error)
    })
}

/// What GNU patch says of what it did not apply, with the files that it is about.
fn misfits(finished: &Finished) -> Vec<String> {
    let text = finished.text();
    let mut file = String::new();
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if let Some(name) = line.strip_prefix("patching file ") {
            // GNU patch puts odd names into quotes; behind a name it may say what it was read from.
            file = name.split(" (").next().unwrap_or(name).to_owned();
        } else if let Some(hunk) = line.strip_prefix("Hunk #") {
            let (number, rest) = hunk.split_once(' ').unwrap_or((hunk, ""));
            if let Some(place) = rest.strip_prefix("FAILED at ") {
                let place = place.trim_end_matches('.');
                found.push(format!("hunk {number} does not fit {file} at line {place}"));
            }
        } else if line.starts_with("Reversed (or previously applied) patch detected!") {
            found.push(format!("{file} looks as if the patch had been applied already"));
        } else if let Some(rest) = line.strip_prefix("can't find file to patch at input line ") {
            found.push(format!("the file of its line {rest} is not in the source"));
        } else if let Some(rest) = line.strip_prefix("patch: **** ") {
            found.push(rest.to_owned());
        } else if line.starts_with("Ignoring potentially dangerous file name")
            || line.starts_with("File ")
        {
            found.push(line.to_owned());
        }
    }
    if found.is_empty() { finished.last_lines(3) } else { found }
}
