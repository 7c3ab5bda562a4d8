use elivepatch_patch::{
    SourcePatch,
    patchability::{Level, Surroundings, Verdict, check},
};

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

/// Two patches by their texts alone: the verdict and the doubts.
fn two(first: &str, second: &str) -> (Verdict, Vec<&'static str>) {
    let parse = |text: &str| {
        let text = patch("fs/x.c", "", text);
        ("fix".to_owned(), SourcePatch::parse(text.as_bytes()).expect("a patch"))
    };
    let report = check(&[parse(first), parse(second)], &Surroundings::default());
    (report.verdict, rules(&report, Level::Unsure))
}

#[test]
fn later_patch_may_change_what_an_earlier_one_adds() {
    let member = " struct fresh {\n \tint a;\n+\tint b;\n };";
    let new = "+struct fresh {\n+\tint a;\n+};\n \n static int g(void)";
    assert_eq!(two(new, member), (Verdict::Unsure, vec!["data-structure"]));
    let back = " struct fresh {\n \tint a;\n-\tint b;\n };";
    assert_eq!(two(member, back), (Verdict::Unsure, vec!["data-structure"]));
    let value = "-static int limit = 1;\n+static int limit = 2;\n \n static int g(void)";
    let new = "+static int limit = 1;\n \n static int g(void)";
    assert_eq!(two(new, value), (Verdict::Unsure, vec!["changed-data"]));
    let other = " struct stale {\n \tint a;\n+\tint b;\n };";
    assert_eq!(two(new, other).0, Verdict::Refused);
}

#[test]
fn with_the_source_the_first_state_is_compared_with_the_last() {
    let new = patch(
        "fs/x.c",
        "",
        "+struct fresh {\n+\tint a;\n+};\n static const int table[] = { 1, 2 };",
    );
    let member = patch("fs/x.c", "", " struct fresh {\n \tint a;\n+\tint b;\n };");
    let both = with_tree(&[new.clone(), member.clone()]);
    assert_eq!(both.verdict, Verdict::Patchable, "{both:#?}");
    let limit = patch("fs/x.c", "", " \tint a;\n \tint b;\n };\n+static int limit = 1;");
    let value = patch("fs/x.c", "", " };\n-static int limit = 1;\n+static int limit = 2;");
    let all = with_tree(&[new, member, limit, value]);
    assert_eq!(rules(&all, Level::Note), ["new-data"], "{all:#?}");
    assert_eq!(all.verdict, Verdict::Patchable, "{all:#?}");
    // Added and taken back: nothing is left to build.
    let put = patch("fs/x.c", "", " {\n-\treturn own[a];\n+\treturn own[a] + 1;\n }");
    let back = patch("fs/x.c", "", " {\n-\treturn own[a] + 1;\n+\treturn own[a];\n }");
    let nothing = with_tree(&[put.clone(), back]);
    assert_eq!(rules(&nothing, Level::Refused), ["no-code-change"], "{nothing:#?}");
    // Half of a change in each patch is a whole one.
    let gone = patch("fs/x.c", "", "-static const int own[] = { 1, 2 };\n STATIC int __init");
    let come = patch("fs/x.c", "", "+static const int own[] = { 1, 2, 3 };\n STATIC int __init");
    let moved = with_tree(&[gone, come, put]);
    assert_eq!(rules(&moved, Level::Unsure), ["constant-data"], "{moved:#?}");
}
