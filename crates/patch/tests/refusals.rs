//! Each way in which a patch is refused has a fixture, a stable class and a message that says where.

use elivepatch_model::{Failure, FailureClass, limits};
use elivepatch_patch::SourcePatch;

fn refusal(bytes: &[u8]) -> Failure {
    let refused = SourcePatch::parse(bytes).and_then(|patch| patch.plan());
    refused.expect_err("a patch that is refused").failure()
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}.patch", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("a fixture")
}

#[test]
fn refused_fixtures_have_their_class_and_say_where() {
    use FailureClass::*;
    let expected = [
        ("absolute-after-strip", PatchPathOutsideTree, "line 2 of the patch: the path \"/etc/"),
        ("absolute-path", PatchPathOutsideTree, "line 1 of the patch: the path \"/etc/passwd\""),
        ("assembly", PatchAssembly, "arch/x86/entry/entry_64.S is assembly"),
        ("changed-symlink", PatchSymlink, "line 2 of the patch"),
        ("context-diff", PatchUnreadable, "line 1 of the patch: a context diff"),
        ("documentation-only", PatchNoCode, "admin-guide/index.rst is documentation"),
        ("dos-line-endings", PatchUnreadable, "line 1 of the patch: ends in CR LF"),
        ("empty", PatchEmpty, "empty"),
        ("git-binary", PatchBinary, "line 3 of the patch"),
        ("headers-only", PatchEmpty, "no hunk"),
        ("library-code", PatchUnpatchableCode, "lib/iov_iter.c is in lib/"),
        ("lost-file-header", PatchUnreadable, "line 8 of the patch: a hunk without a file header"),
        ("makefile-and-library", PatchBuildSystem, "fs/Makefile changes how the kernel is built"),
        ("merge", PatchUnreadable, "line 1 of the patch: the combined diff of a merge"),
        ("mode-only", PatchNoCode, "fs/exec.c only changes its mode"),
        ("new-file", PatchFileSet, "fs/new.c is new"),
        ("new-symlink", PatchSymlink, "line 2 of the patch"),
        ("no-diff", PatchUnreadable, "not a unified diff"),
        ("no-strip-level", PatchUnreadable, "line 1 of the patch: \"exec.c.orig\" has no leading"),
        ("other-architecture", PatchNoCode, "arch/arm64/kernel/signal.c is for another architec"),
        ("overlapping-hunks", PatchUnreadable, "line 7 of the patch: the hunk overlaps"),
        ("path-traversal", PatchPathOutsideTree, "line 2 of the patch: the path \"b/../../etc/pa"),
        ("path-traversal-in-old-name", PatchPathOutsideTree, "line 1 of the patch"),
        ("plain-binary", PatchBinary, "line 1 of the patch"),
        ("quoted-newline", PatchUnreadable, "line 2 of the patch: the path \"fs/exec.c\\nfs/open"),
        ("quoted-traversal", PatchPathOutsideTree, "line 2 of the patch: the path \"b/../etc/"),
        ("removed-file", PatchFileSet, "fs/old.c is taken away by the patch"),
        ("rename-out-of-tree", PatchPathOutsideTree, "line 4 of the patch: the path \"../exec.c\""),
        ("renamed-file", PatchFileSet, "fs/old.c gets another name"),
        ("too-few-lines", PatchUnreadable, "line 7 of the patch: the hunk of line 3 ends too ear"),
        ("too-many-lines", PatchUnreadable, "line 7 of the patch: the hunk of line 3 has more lin"),
        ("zero-byte", PatchBinary, "line 5 of the patch"),
    ];
    for (name, class, message) in expected {
        let failure = refusal(&fixture(&format!("{name}-FAIL")));
        assert_eq!(failure.class, class, "{name}: {failure}");
        assert!(failure.message.contains(message), "{name}: {failure}");
        assert!(!failure.hint.is_empty(), "{name}");
        assert!(!failure.message.contains('\n'), "{name}: {failure}");
    }
    let on_disk = std::fs::read_dir(format!("{}/tests/fixtures", env!("CARGO_MANIFEST_DIR")))
        .expect("the fixtures")
        .filter(|entry| {
            let name = entry.as_ref().expect("an entry").file_name();
            name.to_string_lossy().ends_with("-FAIL.patch")
        })
        .count();
    assert_eq!(on_disk, expected.len(), "every -FAIL fixture is in the table");
}

#[test]
fn carriage_returns_have_a_hint_of_their_own() {
    let failure = refusal(&fixture("dos-line-endings-FAIL"));
    assert!(failure.hint.starts_with("convert it back: dos2unix"), "{failure}");
}

#[test]
fn every_refused_file_is_in_the_details() {
    let failure = refusal(&fixture("makefile-and-library-FAIL"));
    assert_eq!(failure.message.matches("and 1 more").count(), 1, "{failure}");
    assert_eq!(
        failure.details,
        [
            "fs/Makefile changes how the kernel is built (line 1 of the patch)",
            "lib/vdso/gettimeofday.c is in lib/, whose objects kpatch cannot compare (line 8 of the \
             patch)",
        ]
    );
}

/// Drivers with their own assembly, and library code, are no reason to refuse the rest of a fix before
/// it is known whether the target is built with them.
#[test]
fn file_that_only_the_base_knows_of_is_refused_at_once_only_when_nothing_else_is_there() {
    let change = |path: &str| {
        format!("--- a/{path}\n+++ b/{path}\n@@ -1,2 +1,2 @@\n int a;\n-int b;\n+int c;\n")
    };
    let plan = |paths: &[&str]| {
        let text: String = paths.iter().map(|path| change(path)).collect();
        SourcePatch::parse(text.as_bytes()).and_then(|patch| patch.plan())
    };
    let (library, assembly) = ("lib/iov_iter.c", "arch/x86/crypto/sha1_ssse3_asm.S");
    let with_code = plan(&["fs/exec.c", library, assembly]).expect("the base decides");
    let undecided: Vec<&str> =
        with_code.undecided.iter().map(|refusal| refusal.path.as_str()).collect();
    assert_eq!(undecided, [library, assembly]);
    assert_eq!(with_code.files.len(), 1);
    for others in [&[][..], &["Documentation/x.rst"], &["arch/arm64/kernel/signal.c"]] {
        let paths: Vec<&str> = [library, assembly].iter().chain(others).copied().collect();
        let failure = plan(&paths).expect_err("nothing to build").failure();
        assert_eq!(failure.class, FailureClass::PatchUnpatchableCode);
        assert_eq!(failure.details.len(), 2, "{failure:?}");
    }
    let failure = plan(&["fs/exec.c", library, "fs/Makefile"]).expect_err("refused").failure();
    assert_eq!(failure.class, FailureClass::PatchBuildSystem);
}

#[test]
fn patch_above_the_limit_is_refused_by_size() {
    let limit = usize::try_from(limits::PATCH_BYTES).expect("a size in memory");
    let failure = refusal(&vec![b'x'; limit + 1]);
    assert_eq!(failure.class, FailureClass::PatchTooLarge);
    assert!(failure.message.contains("1048577 bytes"), "{failure}");
    assert_eq!(refusal(&vec![b'x'; limit]).class, FailureClass::PatchUnreadable);
}

#[test]
fn patch_with_endless_short_lines_is_refused_by_their_number() {
    let failure = refusal("+\n".repeat(limits::PATCH_LINES + 1).as_bytes());
    assert_eq!(failure.class, FailureClass::PatchTooLarge);
    assert!(failure.message.contains("65537 lines"), "{failure}");
}

#[test]
fn insertion_without_context_is_refused() {
    let patch = "--- a/fs/exec.c\n+++ b/fs/exec.c\n@@ -10,0 +11,1 @@\n+\tif (x)\n";
    let failure = refusal(patch.as_bytes());
    assert_eq!(failure.class, FailureClass::PatchUnreadable);
    assert!(failure.message.contains("line 3"), "{failure}");
}
