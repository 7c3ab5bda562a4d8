use std::fmt;

use elivepatch_model::FailureClass;

use crate::{ChangeKind, FilePatch, PatchError, SourcePatch, TreePath, place, place::Place};

/// What of a patch is to be built: only text changes to `.c` files that may be in the kernel image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchPlan {
    /// The changes to apply, in the order of the patch; at least one.
    pub files: Vec<FilePatch>,
    /// What is left out because it never is in the target's kernel.
    pub dropped: Vec<DroppedFile>,
}

/// A file that is left out of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedFile {
    /// The file.
    pub path: TreePath,
    /// The line of the patch, from 1, where its change begins.
    pub patch_line: usize,
    /// Why it makes no difference to the kernel; completes "FILE …".
    pub reason: &'static str,
}

/// A file whose change cannot be live-patched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub path: TreePath,
    /// The line of the patch, from 1, where its change begins.
    pub patch_line: usize,
    /// The stable class.
    pub class: FailureClass,
    /// Why; completes "FILE …".
    pub reason: &'static str,
    /// What the author can do.
    pub hint: &'static str,
}

impl SourcePatch {
    /// Works out by path what is to be built, and refuses what no build could livepatch.
    ///
    /// # Errors
    /// [`PatchError::Refused`] with *every* refused file, and [`PatchError::NoCode`] when nothing
    /// is left to build.
    pub fn plan(&self) -> Result<PatchPlan, PatchError> {
        let mut plan = PatchPlan { files: Vec::new(), dropped: Vec::new() };
        let mut refusals = Vec::new();
        for file in &self.files {
            let patch_line = file.patch_line;
            match judge(file) {
                Place::Code => plan.files.push(file.clone()),
                Place::NotInKernel(reason) => {
                    let path = file.path.clone();
                    plan.dropped.push(DroppedFile { path, patch_line, reason });
                }
                Place::Refused { class, reason, hint } => {
                    let path = file.path.clone();
                    refusals.push(Refusal { path, patch_line, class, reason, hint });
                }
            }
        }
        if !refusals.is_empty() {
            return Err(PatchError::Refused(refusals));
        }
        if plan.files.is_empty() {
            return Err(PatchError::NoCode(plan.dropped));
        }
        Ok(plan)
    }
}

/// Judges one file by its path first, then by what happens to it as a whole.
fn judge(file: &FilePatch) -> Place {
    let place = place::of(&file.path);
    // A file that moves out of the documentation is no documentation any more, and the other way.
    let from = match &file.kind {
        ChangeKind::Renamed { from } => place::of(from),
        _ => place,
    };
    if let (Place::NotInKernel(_), Place::NotInKernel(_)) = (place, from) {
        return place;
    }
    let refuse = |reason| Place::Refused {
        class: FailureClass::PatchFileSet,
        reason,
        hint: "make the change inside files that exist in the target's source",
    };
    match file.kind {
        ChangeKind::Modified => place,
        ChangeKind::ModeChanged => Place::NotInKernel("only changes its mode"),
        ChangeKind::Added | ChangeKind::Copied { .. } => {
            refuse("is new; this version builds patches to existing files only")
        }
        ChangeKind::Removed => {
            refuse("is removed; code that runs cannot be taken out of a live kernel")
        }
        ChangeKind::Renamed { .. } => {
            refuse("is renamed; this version builds patches to existing files only")
        }
    }
}

impl fmt::Display for DroppedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} (line {} of the patch)", self.path, self.reason, self.patch_line)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} (line {} of the patch)", self.path, self.reason, self.patch_line)
    }
}
