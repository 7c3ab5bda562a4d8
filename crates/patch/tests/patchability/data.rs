use elivepatch_patch::{
    SourcePatch,
    patchability::{Level, Surroundings, Verdict, check},
};

use super::support::{F, judged, patch, report, rules};

#[test]
fn data_is_refused_and_constant_data_doubted() {
    let data = " \t.a = 1,\n-\t.b = 2,\n+\t.b = 3,\n };";
    judged("static struct ctl_table t[] = {", data, Verdict::Refused, &["changed-data"]);
    judged("static const char *names[] = {", data, Verdict::Refused, &["changed-data"]);
    judged("static const struct file_operations o = {", data, Verdict::Unsure, &["constant-data"]);
    judged("static const char *const names[] = {", data, Verdict::Unsure, &["constant-data"]);
    judged(
        F,
        "-static DEFINE_MUTEX(a);\n+static DEFINE_MUTEX(b);\n ",
        Verdict::Patchable,
        &["new-data", "removed-data"],
    );
    judged(F, "-static int a;\n+static int b;\n ", Verdict::Unsure, &["removed-data"]);
    judged(F, "+static int a;\n ", Verdict::Patchable, &["new-data"]);
    judged(F, "+static int a __read_mostly;\n ", Verdict::Unsure, &["section-data"]);
    judged(F, "+static DEFINE_PER_CPU(int, a);\n ", Verdict::Unsure, &["section-data"]);
    judged(
        F,
        "-int (*hook)(int) = f;\n+int (*hook)(int) = g;\n ",
        Verdict::Refused,
        &["changed-data"],
    );
}

#[test]
fn types_keep_their_layout() {
    let field = " \tint a;\n+\tint b;\n };";
    judged("struct s {", field, Verdict::Refused, &["data-structure"]);
    judged("", &format!(" struct s {{\n{field}"), Verdict::Refused, &["data-structure"]);
    judged("", &format!(" union {{\n{field}"), Verdict::Refused, &["data-structure"]);
    let qualifier = "-\tint *a;\n+\tconst int *a;\n };";
    judged("struct s {", qualifier, Verdict::Patchable, &["data-structure"]);
    judged("enum e {", " \tA,\n+\tB,\n };", Verdict::Unsure, &["type-meaning"]);
    judged("", "-typedef int t;\n+typedef long t;\n ", Verdict::Unsure, &["type-meaning"]);
    judged("", "+struct s {\n+\tint a;\n+};\n ", Verdict::Patchable, &[]);
    judged(
        "struct s {",
        " \tint a;\n-\tint b; /* x */\n+\tint b;\n };",
        Verdict::Refused,
        &["no-code-change"],
    );
}

#[test]
fn what_goes_away_here_and_comes_changed_there_is_doubted() {
    let two = |first: &str, second: &str| {
        let hunk = |lines: &str| {
            let text = patch("fs/x.c", "", lines);
            text.split_once("@@").map(|(_, hunk)| format!("@@{hunk}")).expect("a hunk")
        };
        let second = hunk(second).replace("-10,", "-50,").replace("+10,", "+50,");
        report(&format!("--- a/fs/x.c\n+++ b/fs/x.c\n{}{second}", hunk(first)))
    };
    let gone = "-struct s {\n-\tint a;\n-};\n int x;";
    for (first, second, rule) in [
        (gone, "+struct s {\n+\tint a;\n+\tint b;\n+};\n int x;", "data-structure"),
        ("-int limit = 5;\n int x;", "+int limit = 10;\n int x;", "changed-data"),
        (
            "-int f(int a)\n-{\n-\treturn 0;\n-}\n int x;",
            "+int f(long a)\n+{\n+\treturn 0;\n+}\n int x;",
            "signature",
        ),
    ] {
        let report = two(first, second);
        assert_eq!(report.verdict, Verdict::Unsure, "{report:#?}");
        assert!(rules(&report, Level::Unsure).contains(&rule), "{report:#?}");
        let only_moved = two(first, &first.replace('-', "+"));
        assert!(!rules(&only_moved, Level::Unsure).contains(&rule), "{only_moved:#?}");
    }
    // Into a header that is new.
    let header =
        "--- /dev/null\n+++ b/fs/x.h\n@@ -0,0 +1,4 @@\n+struct s {\n+\tint a;\n+\tint b;\n+};\n";
    let report = report(&(patch("fs/x.c", "", gone) + header));
    assert_eq!(rules(&report, Level::Unsure), ["data-structure"], "{report:#?}");
    let values = "-enum { MAX = 4 };\n+#define MAX 8\n int x;";
    judged("", values, Verdict::Unsure, &["type-meaning"]);
}

#[test]
fn data_that_becomes_something_else_under_its_name_is_refused() {
    for (old, new) in [
        ("static DEFINE_MUTEX(x);", "static DEFINE_SPINLOCK(x);"),
        ("static DEFINE_IDR(x);", "static DEFINE_XARRAY_ALLOC(x);"),
        ("LIST_HEAD(x);", "HLIST_HEAD(x);"),
        ("static unsigned long x;", "static DECLARE_BITMAP(x, 128);"),
        ("static int x;", "static struct {\n+\tint a;\n+\tint b;\n+} x;"),
        ("static struct {\n-\tint a;\n-\tint b;\n-} x;", "static int x;"),
        ("__cacheline_aligned_in_smp DEFINE_SEQLOCK(x);", "static DEFINE_RWLOCK(x);"),
        ("static DECLARE_BITMAP(x, 64);", "static DECLARE_BITMAP(x, 128);"),
    ] {
        let lines = format!("-{old}\n+{new}\n \n int y;");
        judged("", &lines, Verdict::Refused, &["changed-data"]);
        let gone = patch("fs/x.c", "", &format!("-{old}\n int y;"));
        let come = patch("fs/x.c", "", &format!("+{new}\n int y;"));
        let parse =
            |text: &str| ("fix".to_owned(), SourcePatch::parse(text.as_bytes()).expect("a patch"));
        let both = check(&[parse(&gone), parse(&come)], &Surroundings::default());
        assert_eq!(rules(&both, Level::Unsure), ["changed-data"], "{both:#?}");
    }
    let srcu = "-DEFINE_STATIC_SRCU(a);\n+DEFINE_MUTEX(a);\n int y;";
    judged("", srcu, Verdict::Refused, &["section-data"]);
    let type_only = "-static DEFINE_PER_CPU(int, a);\n+static DEFINE_PER_CPU(long, a);\n int y;";
    judged("", type_only, Verdict::Unsure, &["section-data"]);
}

#[test]
fn data_that_may_be_the_same_in_other_words_is_not_refused() {
    for (old, new) in [
        ("static LIST_HEAD(x);", "static struct list_head x = LIST_HEAD_INIT(x);"),
        ("static unsigned long x[2];", "static DECLARE_BITMAP(x, 128);"),
        ("static unsigned long x;", "static DECLARE_BITMAP(x, 64);"),
        ("static my_lock_t x;", "static DEFINE_SPINLOCK(x);"),
        ("static DEFINE_SPINLOCK(x);", "static DEFINE_RAW_SPINLOCK(x);"),
        ("static struct {\n-\tint a;\n-} x;", "static struct named x;"),
        ("static struct one {\n-\tint a;\n-} x;", "static struct two {\n+\tint a;\n+} x;"),
    ] {
        let lines = format!("-{old}\n+{new}\n \n int y;");
        judged("", &lines, Verdict::Unsure, &["changed-data"]);
    }
    let table = |value| format!("static const struct {{ int a; }} t[] = {{ {{ {value} }} }};");
    let lines = format!("-{}\n+{}\n int y;", table(1), table(2));
    judged("", &lines, Verdict::Unsure, &["constant-data"]);
}

#[test]
fn structure_under_a_new_name_may_take_the_place_of_the_old_one() {
    let renamed =
        "-struct priv {\n-\tint a;\n-};\n+struct privdata {\n+\tint a;\n+\tint b;\n+};\n ";
    let report = report(&patch("fs/x.c", "", renamed));
    let finding = &report.files[0].findings[0];
    assert_eq!((report.verdict, finding.rule.as_str()), (Verdict::Unsure, "data-structure"));
    assert!(!finding.noticed_by_build);
    judged("", "-struct priv {\n-\tint a;\n-};\n int x;", Verdict::Patchable, &[]);
}
