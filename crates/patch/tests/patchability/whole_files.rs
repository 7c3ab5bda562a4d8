use std::collections::HashMap;

use elivepatch_patch::{
    SourcePatch,
    patchability::{Level, Surroundings, Verdict, check},
};

use super::support::{Tree, patch, rules, with_tree};

#[test]
fn whole_file_shows_what_the_hunk_does_not() {
    for (lines, verdict, rule) in [
        (" {\n-\treturn helper(1);\n+\treturn helper(2);\n }", Verdict::Refused, "init-code"),
        (" \tint x = a;\n-\treturn x;\n+\treturn x + 1;\n }", Verdict::Unsure, "inlined-caller"),
        (
            "-static const int table[] = { 1, 2 };\n+static const int table[] = { 1, 3 };\n ",
            Verdict::Refused,
            "constant-data",
        ),
        (" \tint y = a;\n-\treturn x;\n+\treturn 0;\n }", Verdict::Refused, "does-not-apply"),
    ] {
        let lines = lines.replace("3 };\n ", "3 };\n static const int own[] = { 1, 2 };");
        let report = with_tree(&[patch("fs/x.c", "", &lines)]);
        assert_eq!(report.verdict, verdict, "{report:#?}");
        let level = if verdict == Verdict::Unsure { Level::Unsure } else { Level::Refused };
        assert_eq!(rules(&report, level), [rule], "{report:#?}");
    }
    let untraced = with_tree(&[patch("fs/y.c", "", " {\n-\treturn 1;\n+\treturn 2;\n }")]);
    assert_eq!(rules(&untraced, Level::Refused), ["not-traceable"]);
    let missing = with_tree(&[patch("fs/z.c", "", " {\n-\treturn 1;\n+\treturn 2;\n }")]);
    assert_eq!(rules(&missing, Level::Refused), ["does-not-apply"]);
}

const NEST: &str = "#define SIZE 16\n\
static int deep(int a)\n\
{\n\
\treturn a;\n\
}\n\
static noinline int far(int a)\n\
{\n\
\treturn a + 5;\n\
}\n\
int middle(int a)\n\
{\n\
\treturn deep(a) + far(a);\n\
}\n\
static int __init early(void)\n\
{\n\
\treturn middle(1);\n\
}\n\
static void sized(void)\n\
{\n\
\tstatic char buffer[SIZE];\n\
}\n";

#[test]
fn callers_of_callers_and_users_of_macros_are_seen() {
    let tree = Tree(HashMap::from([("fs/n.c", NEST.to_owned())]));
    let of = |lines: &str| {
        let text = patch("fs/n.c", "", lines);
        let parsed = SourcePatch::parse(text.as_bytes()).expect("a patch");
        let surroundings = Surroundings { config: None, tree: Some(&tree) };
        rules(&check(&[("fix".to_owned(), parsed)], &surroundings), Level::Unsure)
    };
    assert_eq!(of(" {\n-\treturn a;\n+\treturn a + 1;\n }"), ["inlined-caller"]);
    let middle = " {\n-\treturn deep(a) + far(a);\n+\treturn deep(a) - far(a);\n }";
    assert_eq!(of(middle), ["inlined-caller"]);
    assert_eq!(of(" {\n-\treturn a + 5;\n+\treturn a + 6;\n }"), Vec::<&str>::new());
    assert_eq!(
        of("-#define SIZE 16\n+#define SIZE 32\n static int deep(int a)"),
        ["macro-changed"]
    );
}

const USERS: &str = "#include <linux/a.h>\n\
#define CALL 1\n\
#define KEY 2\n\
#define PLAIN 3\n\
#define EARLY 4\n\
SYSCALL_DEFINE1(one, int, a)\n{\n\treturn CALL;\n}\n\
static int keyed(void)\n{\n\tif (static_branch_unlikely(&k))\n\t\treturn KEY;\n\treturn 0;\n}\n\
static int plain(void)\n{\n\treturn PLAIN;\n}\n\
static int __init early(void)\n{\n\treturn EARLY;\n}\n\
int last;\n";

#[test]
fn users_of_a_macro_are_judged_as_if_their_own_lines_changed() {
    let tree = Tree(HashMap::from([("fs/n.c", USERS.to_owned())]));
    let of = |lines: &str| {
        let parsed = SourcePatch::parse(patch("fs/n.c", "", lines).as_bytes()).expect("a patch");
        check(&[("fix".to_owned(), parsed)], &Surroundings { config: None, tree: Some(&tree) })
    };
    for (name, value, expected, user) in [
        ("CALL", 1, vec!["macro-changed", "system-call"], "SYSCALL_DEFINE1(one)"),
        ("KEY", 2, vec!["macro-changed", "static-key"], "keyed"),
        ("PLAIN", 3, vec![], "plain"),
        // Whether its code changes is not known.
        ("EARLY", 4, vec!["init-code", "macro-changed"], "early"),
    ] {
        let report = of(&format!("-#define {name} {value}\n+#define {name} 9"));
        assert_eq!(rules(&report, Level::Unsure), expected, "{report:#?}");
        assert_eq!(rules(&report, Level::Refused), Vec::<&str>::new());
        let named = report.files[0].functions[0].name.as_deref();
        assert_eq!(named, Some(user), "{report:#?}");
    }
    let taken = of("+#define last first\n int last;");
    assert_eq!(rules(&taken, Level::Unsure), ["macro-changed"], "{taken:#?}");
    let new = of("+#define OTHER 1\n int last;");
    assert_eq!(new.verdict, Verdict::Patchable, "{new:#?}");
}
