//! Headers that the kernel's build also reads to generate code: by a script that takes lines out of
//! them, or by a program that is compiled with them and run. What was generated when the base was
//! made stays as it is in every later build, for only compilers are called there. With such a header
//! changed, one part of a livepatch would be compiled by the new text and another by the old.

mod known;
mod records;

use elivepatch_model::{Failure, FailureClass};
use elivepatch_patch::{ChangeKind, FilePatch};

use crate::{apply::PlannedChange, base::Base, headers::is_header};

/// Something that the build makes of a header by other means than compiling the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Use {
    /// The header, by its path in the tree.
    header: String,
    /// What becomes of it, for people.
    what: String,
}

/// Refuses changes of headers that the build generates code from.
///
/// What is generated, Kbuild's records say; and a list says it where Kbuild keeps no record, or
/// where a prepared base has none yet.
///
/// # Errors
/// `patch-build-system` with the header and what is generated; `base-failed` when the records
/// cannot be looked through.
pub(crate) fn refuse_generator_inputs(
    changes: &[PlannedChange],
    base: &Base,
) -> Result<(), Failure> {
    let is_changed_header =
        |file: &&FilePatch| file.kind == ChangeKind::Modified && is_header(file.path.as_str());
    let headers: Vec<&FilePatch> =
        changes.iter().map(|change| &change.file).filter(is_changed_header).collect();
    if headers.is_empty() {
        return Ok(());
    }
    let sources = base.sources()?;
    if let Some(found) = known::find(&headers, &sources) {
        return Err(refused(&found));
    }
    let paths: Vec<&str> = headers.iter().map(|file| file.path.as_str()).collect();
    match records::find(&paths, &base.tree(), &sources)? {
        None => Ok(()),
        Some(found) => Err(refused(&found)),
    }
}

fn refused(found: &Use) -> Failure {
    let Use { header, what } = found;
    Failure::new(
        FailureClass::PatchBuildSystem,
        format!("the patch changes {header}, and {what}"),
        "make the change in the .c files that need it, and leave the header as it is: what the \
         build generated from the header cannot be live-patched",
    )
}

#[cfg(test)]
mod tests {
    use elivepatch_patch::SourcePatch;

    use super::*;
    use crate::{
        SilentObserver,
        base::fake_kernel::{CONFIG, Kernel},
    };

    fn check(base: &Base, header: &str) -> Result<(), Failure> {
        let text = format!("--- a/{header}\n+++ b/{header}\n@@ -1 +1,2 @@\n int a;\n+int b;\n");
        let plan = SourcePatch::parse(text.as_bytes()).and_then(|patch| patch.plan());
        let files = plan.expect("a patch").files.into_iter();
        let changes: Vec<PlannedChange> =
            files.map(|file| PlannedChange { fix_name: "fix".to_owned(), file }).collect();
        refuse_generator_inputs(&changes, base)
    }

    #[test]
    fn change_of_a_header_that_code_is_generated_from_is_refused_with_what_it_is() {
        let kernel = Kernel::new();
        let record = "cmd_security/names.h := sed -n p include/linux/names.h > security/names.h\n";
        kernel.write("security/.names.h.cmd", record);
        let (base, _) = kernel.ready(CONFIG, &SilentObserver).expect("it builds");
        let failure = check(&base, "include/linux/names.h").expect_err("it would be mixed");
        assert_eq!(failure.class, FailureClass::PatchBuildSystem);
        let said =
            "the patch changes include/linux/names.h, and security/names.h is generated from it";
        assert_eq!(failure.message, said);
        assert!(failure.hint.starts_with("make the change in the .c files"), "{}", failure.hint);
        // That one only compilers read.
        assert_eq!(check(&base, "include/fs.h"), Ok(()));
    }
}
