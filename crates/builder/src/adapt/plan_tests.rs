use elivepatch_model::{Fix, Sha256Digest};

use super::*;
use crate::SilentObserver;

const NEW_FILE: &str = "--- a/fs/Makefile\n+++ b/fs/Makefile\n@@ -1 +1,2 @@\n obj-y := a.o\n\
    +obj-y += b.o\n--- /dev/null\n+++ b/fs/b.c\n@@ -0,0 +1 @@\n+int b;\n";

/// A kernel that nothing is known of.
struct Nothing;

impl KernelParts for Nothing {
    fn readers(&self, _: &BTreeSet<&str>) -> Result<BTreeMap<String, BTreeSet<Unit>>, Failure> {
        Ok(BTreeMap::new())
    }

    fn has_symbol(&self, _: &BTreeSet<String>, _: &str) -> Result<bool, Failure> {
        Ok(false)
    }
}

#[test]
fn file_is_new_when_the_fixes_add_it_and_the_target_has_none() {
    let temporary = tempfile::tempdir().expect("a directory");
    let tree = Utf8Path::from_path(temporary.path()).expect("UTF-8");
    fs_err::create_dir(tree.join("fs")).expect("own directory");
    let planner = Planner {
        without: &BTreeSet::new(),
        sources: &SourceIndex::default(),
        parts: &Nothing,
        tree,
        source: "the source of a test",
        config: &KernelConfig::parse(b"CONFIG_X86_64=y\n").expect("a config"),
        observer: &SilentObserver,
    };
    let fix = Fix { name: "new".to_owned(), digest: Sha256Digest::of(NEW_FILE.as_bytes()) };
    let fixes = [FixText { fix, text: NEW_FILE.as_bytes().to_vec() }];
    let plan = planner.plan(&fixes).expect("it can be planned");
    assert_eq!(plan.new_units.into_keys().collect::<Vec<_>>(), ["fs/b.c"]);
    // An empty one is a file, too.
    fs_err::write(tree.join("fs/b.c"), "").expect("own file");
    let failure = planner.plan(&fixes).expect_err("it is there");
    assert_eq!(failure.class, FailureClass::PatchDoesNotApply);
    assert_eq!(failure.message, "the patch adds fs/b.c, which the target's source has already");
}
