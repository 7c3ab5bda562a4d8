//! What a file is to the kernel, by the judgement that the build begins with.

use elivepatch_model::FailureClass;

use super::{
    report::{FileRole, Finding},
    rule::{Level, Rule},
};
use crate::{FilePart, FilePatch, Refusal};

/// Whether a build is made without it.
pub(super) fn is_left_out(role: FileRole) -> bool {
    matches!(role, FileRole::LeftOut | FileRole::Kept)
}

/// What is said of a patch of nothing else.
pub(super) fn nothing_of_the_kernel(patch_line: usize) -> Finding {
    let subject = "nothing in the patch is part of the kernel";
    Finding::new(Rule::LeftOut, Level::Refused, patch_line, subject)
}

/// What a file is, by the same judgement that the build begins with.
pub(super) fn role(file: &FilePatch, part: &FilePart) -> (FileRole, String, Option<Finding>) {
    match part {
        FilePart::Built if matches!(file.path.extension(), "h" | "inc") => {
            (FileRole::Header, "is a header".to_owned(), None)
        }
        FilePart::Built if file.path.extension() == "c" => {
            (FileRole::Code, "is C code; whether it is built is seen by the build".to_owned(), None)
        }
        FilePart::Built => {
            (FileRole::LeftOut, "only names the objects of new files".to_owned(), None)
        }
        FilePart::LeftOut(reason) => (FileRole::LeftOut, (*reason).to_owned(), None),
        FilePart::Kept(reason) => (FileRole::Kept, (*reason).to_owned(), None),
        FilePart::Refused(refusal) => {
            (FileRole::Refused, refusal.reason.to_owned(), Some(refused(refusal)))
        }
        FilePart::Undecided(refusal) => {
            (FileRole::Undecided, refusal.reason.to_owned(), Some(undecided(refusal)))
        }
    }
}

/// What the build refuses a file for.
pub(super) fn refused(refusal: &Refusal) -> Finding {
    let rule = match refusal.class {
        FailureClass::PatchAssembly => Rule::Assembly,
        FailureClass::PatchFileSet => Rule::FileSet,
        FailureClass::PatchBuildSystem => Rule::BuildSystem,
        _ => Rule::UnpatchableCode,
    };
    let subject = format!("{} {}", refusal.path, refusal.reason);
    let mut finding = Finding::new(rule, Level::Refused, refusal.patch_line, subject);
    if rule == Rule::FileSet {
        finding.advice = refusal.hint;
    }
    finding
}

/// What is refused if the base builds it.
fn undecided(refusal: &Refusal) -> Finding {
    let mut finding = refused(refusal);
    finding.level = Level::Unsure;
    finding.subject += ": refused if this kernel is built with it, left out if not";
    finding
}
