use elivepatch_patch::patchability::{Level, Verdict};

use super::support::{patch, rules, with_tree};

#[test]
fn later_patch_sees_what_the_earlier_one_left() {
    let first = patch("fs/x.c", "", " {\n-\treturn own[a];\n+\treturn own[a] + 1;\n }");
    let second = patch("fs/x.c", "", " {\n-\treturn own[a] + 1;\n+\treturn own[a] + 2;\n }");
    let both = with_tree(&[first.clone(), second.clone()]);
    assert_eq!(both.verdict, Verdict::Patchable, "{both:#?}");
    assert!(both.files.iter().all(|file| file.functions[0].name.as_deref() == Some("owner")));
    assert_eq!(with_tree(&[second, first]).verdict, Verdict::Refused);
}

#[test]
fn later_patch_may_change_a_file_that_an_earlier_one_adds() {
    let first = "--- a/fs/Makefile\n+++ b/fs/Makefile\n@@ -1,2 +1,3 @@\n CFLAGS_REMOVE_y.o = -pg\n \
                 obj-y += x.o\n+obj-y += new.o\n--- /dev/null\n+++ b/fs/new.c\n@@ -0,0 +1,4 @@\n\
                 +int fresh(void)\n+{\n+\treturn 1;\n+}\n";
    let second = patch("fs/new.c", "", " {\n-\treturn 1;\n+\treturn 2;\n }");
    let report = with_tree(&[first.to_owned(), second]);
    assert_eq!(rules(&report, Level::Refused), Vec::<&str>::new(), "{report:#?}");
    assert!(report.files[2].whole_file_read);
}
