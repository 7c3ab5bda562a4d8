//! Bases with patches that are compiled into the target's kernel.

use elivepatch_model::{Failure, FailureClass};

use super::fake_kernel::{CONFIG, Kernel, Listener};
use crate::{BaselinePatch, SilentObserver};

const CHANGE: &str = "--- a/fs/f00.c\n+++ b/fs/f00.c\n@@ -1 +1 @@\n-int f0(void) { return 1; }\n\
    +int f0(void) { return 7; }\n";

fn patch(name: &str, text: &str) -> BaselinePatch {
    BaselinePatch { name: name.to_owned(), text: text.as_bytes().to_vec() }
}

fn refusal(patches: &[BaselinePatch]) -> Failure {
    let mut kernel = Kernel::new();
    kernel.baseline = patches.to_vec();
    let failure = kernel.ready(CONFIG, &SilentObserver).expect_err("it does not apply");
    assert_eq!(failure.class, FailureClass::BaselineDoesNotApply, "{failure}");
    assert_eq!(kernel.leftovers(), Vec::<String>::new(), "{failure}");
    failure
}

#[test]
fn patches_are_applied_in_their_order_and_make_another_base() {
    let mut kernel = Kernel::new();
    let (plain, _) = kernel.ready(CONFIG, &SilentObserver).expect("it builds");
    let again = CHANGE.replace("return 7", "return 8").replace("return 1", "return 7");
    kernel.baseline = vec![patch("one.patch", CHANGE), patch("two.patch", &again)];
    let listener = Listener::new(usize::MAX);
    let (patched, was_there) = kernel.ready(CONFIG, &listener).expect("it builds");
    assert!(!was_there);
    let text = |base: &crate::base::Base| {
        std::fs::read_to_string(base.tree().join("fs/f00.c")).expect("a file")
    };
    assert_eq!(text(&plain), "int f0(void) { return 1; }\n");
    assert_eq!(text(&patched), "int f0(void) { return 8; }\n");
    let record = patched.facts().source.record();
    let names: Vec<&str> = record.patches.iter().map(|patch| patch.name.as_str()).collect();
    assert_eq!(names, ["one.patch", "two.patch"]);
    // Other names, the same patches.
    kernel.baseline.iter_mut().for_each(|patch| patch.name = "other.patch".to_owned());
    assert!(kernel.ready(CONFIG, &SilentObserver).expect("it is there").1);
    kernel.baseline.reverse();
    kernel.ready(CONFIG, &SilentObserver).expect_err("not in this order");
}

#[test]
fn patch_that_does_not_apply_is_named_with_its_file_and_hunk() {
    let other = CHANGE.replace("return 1", "return 2").replace("return 7", "return 3");
    let failure = refusal(&[patch("one.patch", CHANGE), patch("wrong.patch", &other)]);
    assert!(
        failure.message.contains(
            "the baseline patch wrong.patch does not apply to linux: hunk 1 does not fit fs/f00.c at \
             line 1"
        ),
        "{failure}"
    );
    let failure = refusal(&[patch("a", CHANGE), patch("again.patch", CHANGE)]);
    assert!(failure.message.contains("again.patch"), "{failure}");
    assert!(
        failure.message.contains("fs/f00.c looks as if the patch had been applied"),
        "{failure}"
    );
    let failure = refusal(&[patch("missing.patch", &CHANGE.replace("f00", "f99"))]);
    assert!(failure.message.contains("of its line 3 is not in the source"), "{failure}");
    let failure = refusal(&[patch("letter.patch", "Dear all,\n")]);
    assert!(failure.message.contains("letter.patch"), "{failure}");
}

#[test]
fn context_that_fits_only_by_guessing_does_not_fit() {
    let fuzzy = "--- a/Makefile\n+++ b/Makefile\n@@ -1,3 +1,4 @@\n wrong first line\n wrong second\n\
        wrong third\n+all: mine\n";
    refusal(&[patch("fuzzy.patch", fuzzy)]);
}

#[test]
fn patch_that_would_leave_the_tree_changes_nothing_there() {
    let text = "--- /dev/null\n+++ a/../../outside\n@@ -0,0 +1 @@\n+x\n";
    let failure = refusal(&[patch("out.patch", text)]);
    assert!(failure.message.contains("out.patch"), "{failure}");
    assert!(failure.message.contains("potentially dangerous file name"), "{failure}");
    let link = "diff --git a/fs/link b/fs/link\nnew file mode 120000\n--- /dev/null\n+++ b/fs/link\n\
        @@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n";
    let failure = refusal(&[patch("link.patch", link)]);
    assert!(failure.message.contains("link.patch"), "{failure}");
    assert!(failure.message.contains("fs/link"), "{failure}");
}

#[test]
fn makefile_is_that_of_the_patched_source() {
    let mut kernel = Kernel::new();
    let makefile = std::fs::read_to_string(kernel.path("linux/Makefile")).expect("own file");
    let line = makefile.lines().position(|line| line.contains("echo 6.12.117")).expect("it has it");
    let text = makefile.lines().nth(line).expect("it has it");
    let (number, new) = (line + 1, text.replace("6.12.117", "6.12.118"));
    let text =
        format!("--- a/Makefile\n+++ b/Makefile\n@@ -{number} +{number} @@\n-{text}\n+{new}\n");
    kernel.baseline = vec![patch("bump.patch", &text)];
    let failure = kernel.ready(CONFIG, &SilentObserver).expect_err("another version");
    assert!(failure.message.contains("Linux 6.12.118"), "{failure}");
}
