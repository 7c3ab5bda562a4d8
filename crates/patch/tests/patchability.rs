//! What is said of patches before they are built: each rule by an example, in text alone and with
//! the whole file at hand.

use std::{collections::HashMap, time::Duration};

use elivepatch_patch::{
    SourcePatch, TreePath,
    patchability::{
        FileRole, FunctionChange, Includers, Level, Report, SourceTree, Surroundings, Verdict,
        check,
    },
};

/// A patch of one hunk. Lines begin with `-`, `+` or a blank, as in a diff.
fn patch(path: &str, heading: &str, lines: &str) -> String {
    let lines: Vec<&str> = lines.lines().collect();
    let count = |marker| lines.iter().filter(|line| !line.starts_with(marker)).count();
    let (old, new) = (count('+'), count('-'));
    let body = lines.join("\n");
    format!("--- a/{path}\n+++ b/{path}\n@@ -10,{old} +10,{new} @@ {heading}\n{body}\n")
}

fn report(text: &str) -> Report {
    let parsed = SourcePatch::parse(text.as_bytes()).expect("a patch");
    check(&[("fix".to_owned(), parsed)], &Surroundings::default())
}

/// The rules that were found at this level, each once.
fn rules(report: &Report, level: Level) -> Vec<&'static str> {
    let findings = report.files.iter().flat_map(|file| &file.findings);
    let mut rules: Vec<&str> =
        findings.filter(|finding| finding.level == level).map(|f| f.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[track_caller]
fn judged(heading: &str, lines: &str, verdict: Verdict, expected: &[&str]) {
    let report = report(&patch("fs/x.c", heading, lines));
    let level = match verdict {
        Verdict::Patchable => Level::Note,
        Verdict::Unsure => Level::Unsure,
        Verdict::Refused => Level::Refused,
    };
    assert_eq!(
        (report.verdict, rules(&report, level)),
        (verdict, expected.to_vec()),
        "{report:#?}"
    );
}

const F: &str = "static int f(struct inode *inode, int a)";

#[test]
fn changed_body_is_patchable_and_its_function_named() {
    let lines = " \tint x;\n \n-\tx = 1;\n+\tx = 2; /* more */\n \treturn x;\n }";
    judged(F, lines, Verdict::Patchable, &[]);
    let report = report(&patch("fs/x.c", F, lines));
    let function = &report.files[0].functions[0];
    assert_eq!(function.name.as_deref(), Some("f"));
    assert_eq!((function.change, function.patch_line), (FunctionChange::Changed, 6));
}

#[test]
fn comments_and_blanks_alone_change_nothing() {
    for lines in [
        " \tint x;\n-\tx = 1;\n+\tx  =  1; // one",
        " /*\n- * one\n+ * two\n  */\n static int g(void)\n {",
        "  * in the middle\n- * of a comment\n+ * of a long comment\n  * that goes on",
    ] {
        judged(F, lines, Verdict::Refused, &["no-code-change"]);
    }
}

#[test]
fn where_a_change_is_must_be_shown() {
    let lines = " \tint x;\n-\tx = 1;\n+\tx = 2;\n \treturn x;";
    for heading in ["", "out:", "static struct very_long_structure *alloc_", "xfs_iunlock("] {
        judged(heading, lines, Verdict::Unsure, &["function-unknown"]);
    }
    let shown = " static int g(void)\n {\n-\treturn 1;\n+\treturn 2;\n }";
    judged("", shown, Verdict::Patchable, &[]);
}

#[test]
fn heading_of_a_function_that_has_ended_is_not_believed() {
    let lines = " \treturn x;\n }\n \n-int limit = 1;\n+int limit = 2;\n ";
    judged(F, lines, Verdict::Refused, &["changed-data"]);
    let lines = " \n-int limit = 1;\n+int limit = 2;\n ";
    judged(F, lines, Verdict::Refused, &["changed-data"]);
}

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
fn attributes_of_functions_decide() {
    let body = " {\n-\treturn 1;\n+\treturn 2;\n }";
    for (header, verdict, rule) in [
        ("static int __init f(void)", Verdict::Refused, "init-code"),
        ("static void __exit f(void)", Verdict::Refused, "init-code"),
        ("static int __net_init f(void)", Verdict::Unsure, "init-code"),
        ("void notrace f(void)", Verdict::Refused, "not-traceable"),
        ("noinstr void f(void)", Verdict::Refused, "not-traceable"),
        ("void __sched f(void)", Verdict::Refused, "section-code"),
        ("static inline int f(void)", Verdict::Unsure, "inline-function"),
        ("DEFINE_IDTENTRY(exc_divide_error)", Verdict::Refused, "not-traceable"),
        ("SOME_MACRO(f, int, a)", Verdict::Unsure, "function-unknown"),
    ] {
        judged("", &format!(" {header}\n{body}"), verdict, &[rule]);
        judged(header, &body.replace(" {\n", " \tint x;\n"), verdict, &[rule]);
    }
    judged("", &format!(" SYSCALL_DEFINE1(f, int, a)\n{body}"), Verdict::Unsure, &["system-call"]);
    judged("", &format!(" static __always_inline int f(void)\n{body}"), Verdict::Patchable, &[]);
}

#[test]
fn init_code_beside_other_code_may_be_left_out() {
    let both = format!(
        "{}{}",
        patch("fs/x.c", "static int __init f(void)", " \tint x;\n-\tx = 1;\n+\tx = 2;"),
        patch("fs/y.c", "static int g(void)", " \tint x;\n-\tx = 1;\n+\tx = 2;")
    );
    let report = report(&both);
    assert_eq!(report.verdict, Verdict::Unsure, "{report:#?}");
    assert_eq!(rules(&report, Level::Unsure), ["init-code"]);
    // That runs after the new code did.
    let exit = self::report(&both.replace("__init", "__exit"));
    assert_eq!(rules(&exit, Level::Refused), ["init-code"]);
    let new = "+static int __init h(void)\n+{\n+\treturn 0;\n+}\n ";
    let added = format!(
        "{}{}",
        patch("fs/x.c", "", new),
        patch("fs/y.c", "static int g(void)", " \tint x;\n-\tx = 1;\n+\tx = 2;")
    );
    assert_eq!(rules(&self::report(&added), Level::Refused), ["init-code"]);
}

#[test]
fn static_variables_of_functions_are_followed() {
    let removed = " {\n-\tstatic int count;\n-\tcount++;\n+\tint x;\n ";
    judged(F, removed, Verdict::Refused, &["static-local-removed"]);
    let renamed = " {\n-\tstatic int count;\n+\tstatic int number;\n ";
    judged(F, renamed, Verdict::Refused, &["static-local-removed"]);
    let changed = " {\n-\tstatic int count = 1;\n+\tstatic int count = 2;\n ";
    judged(F, changed, Verdict::Refused, &["changed-data"]);
    let added = " {\n+\tstatic int count;\n \tint x;\n ";
    judged(F, added, Verdict::Patchable, &["static-local-added"]);
    let moved = " {\n-\tstatic int count;\n \tint x;\n+\tstatic int count;\n ";
    judged(F, moved, Verdict::Patchable, &[]);
}

#[test]
fn signatures_matter_where_others_call() {
    let body = "\n {\n \treturn 0;\n }\n EXPORT_SYMBOL_GPL(f);";
    let signature =
        |old: &str, new: &str, end: &str| format!("-{old}\n+{new}\n {{\n \treturn 0;\n }}{end}");
    let exported = "\n EXPORT_SYMBOL_GPL(f);";
    judged(
        "",
        &signature("int f(int a)", "int f(int a, int b)", exported),
        Verdict::Refused,
        &["exported-signature"],
    );
    judged(
        "",
        &signature("int f(int a)", "int f(long a)", exported),
        Verdict::Unsure,
        &["exported-signature"],
    );
    judged("", &signature("int f(int a)", "int f(int b)", exported), Verdict::Patchable, &[]);
    judged("", &signature("int f(int a)", "int f(long a)", ""), Verdict::Unsure, &["signature"]);
    judged(
        "",
        &signature("static int f(int a)", "static int f(long a)", ""),
        Verdict::Patchable,
        &[],
    );
    judged(
        "",
        &signature("static int f(int a)", "int f(int a)", ""),
        Verdict::Unsure,
        &["linkage"],
    );
    judged(
        "",
        &format!("-int f(int a){body}").replace("-int f(int a)\n", "-int f(int a)\n+int f(void)\n"),
        Verdict::Unsure,
        &["exported-signature"],
    );
}

#[test]
fn what_stands_outside_functions_has_its_rule() {
    for (lines, rule) in [
        ("-module_init(a);\n+module_init(b);\n ", "initcall"),
        ("+late_initcall(b);\n ", "initcall"),
        ("+MODULE_ALIAS(\"b\");\n ", "module-information"),
        ("+EXPORT_SYMBOL(b);\n ", "export"),
        ("+DEFINE_STATIC_KEY_FALSE(b);\n ", "static-key"),
        ("+SOMETHING_ELSE(b);\n ", "file-scope"),
        ("-#define A 1\n+#define A 2\n ", "macro-changed"),
        ("+#define pr_fmt(fmt) \"x\" fmt\n ", "macro-changed"),
        (" \tx; \\\n-\ty; \\\n+\tz; \\\n \tend", "macro-changed"),
        ("+#ifdef CONFIG_A\n int x;\n", "conditional"),
    ] {
        judged("", lines, Verdict::Unsure, &[rule]);
    }
    judged("", "+asm(\"nop\");\n ", Verdict::Refused, &["assembly"]);
    judged("", "+TRACE_EVENT(a, b);\n ", Verdict::Refused, &["tracepoint"]);
    let harmless =
        "+#include <linux/livepatch.h>\n+#define A 1\n+int f(int);\n+struct s;\n+extern int a;\n ";
    judged("", harmless, Verdict::Patchable, &[]);
    judged("", "+KPATCH_PRE_PATCH_CALLBACK(f);\n ", Verdict::Patchable, &["callback"]);
}

#[test]
fn words_within_functions_are_told() {
    judged(F, " {\n+\tspin_lock(&a);\n ", Verdict::Patchable, &["locking"]);
    judged(F, " {\n+\twhile (!kthread_should_stop())\n ", Verdict::Patchable, &["long-running"]);
    judged(F, " {\n+\tasm volatile(\"nop\");\n ", Verdict::Unsure, &["inline-assembly"]);
    judged(F, " {\n+\tif (static_branch_unlikely(&a))\n ", Verdict::Unsure, &["static-key"]);
    judged(
        F,
        " \tif (!access_ok(p, a))\n-\t\treturn 1;\n+\t\treturn 2;\n }",
        Verdict::Unsure,
        &["runtime-constant"],
    );
    judged(
        F,
        " \tcopy_from_user(p, q, a);\n-\treturn 1;\n+\treturn 2;\n }",
        Verdict::Patchable,
        &[],
    );
}

#[test]
fn places_are_judged_as_the_build_judges_them() {
    for (path, verdict, rule) in [
        ("arch/x86/entry/entry_64.S", Verdict::Refused, "assembly"),
        ("fs/Makefile", Verdict::Refused, "build-system"),
        ("lib/iov_iter.c", Verdict::Refused, "unpatchable-code"),
        ("Documentation/x.rst", Verdict::Refused, "left-out"),
        ("kernel/trace/trace.c", Verdict::Unsure, "not-traceable"),
    ] {
        let report = report(&patch(path, F, " \tint x;\n-\tx = 1;\n+\tx = 2;"));
        assert_eq!(report.verdict, verdict, "{report:#?}");
        let level = if verdict == Verdict::Unsure { Level::Unsure } else { Level::Refused };
        assert_eq!(rules(&report, level), [rule]);
    }
    // Beside code, the base knows whether a kernel is built with it; the build refuses it then.
    for (path, rule) in
        [("arch/x86/crypto/sha1_ssse3_asm.S", "assembly"), ("lib/iov_iter.c", "unpatchable-code")]
    {
        let code = patch("fs/exec.c", F, " \tint x;\n-\tx = 1;\n+\tx = 2;");
        let both = report(&(code + &patch(path, F, " \tint x;\n-\tx = 1;\n+\tx = 2;")));
        assert_eq!(both.verdict, Verdict::Unsure, "{both:#?}");
        assert_eq!(rules(&both, Level::Unsure), [rule]);
        assert_eq!(both.files[1].role, FileRole::Undecided);
    }
    let makefile = report(&patch("fs/Makefile", "", "-a = b;\n+a = c;\n "));
    assert_eq!(rules(&makefile, Level::Refused), ["build-system"], "its text is no C");
    let header = report(&patch("include/net/x.h", "", "+int f(int);\n "));
    assert!(header.verdict >= Verdict::Unsure, "{header:#?}");
}

/// A source tree in memory.
struct Tree(HashMap<&'static str, String>);

impl SourceTree for Tree {
    fn read(&self, path: &TreePath) -> Option<Vec<u8>> {
        self.0.get(path.as_str()).map(|text| text.clone().into_bytes())
    }

    fn includers(&self, _: &TreePath) -> Option<Includers> {
        Some(Includers { files: 7, is_incomplete: true })
    }
}

const FILE: &str = "\
static const int table[] = { 1, 2 };\n\
static const int own[] = { 1, 2 };\n\
STATIC int __init\n\
early(void)\n\
{\n\
\treturn helper(1);\n\
}\n\
static int helper(int a)\n\
{\n\
\tint x = a;\n\
\treturn x;\n\
}\n\
static int reader(int a)\n\
{\n\
\treturn table[a];\n\
}\n\
static int owner(int a)\n\
{\n\
\treturn own[a];\n\
}\n";

fn with_tree(texts: &[String]) -> Report {
    let tree = Tree(HashMap::from([
        ("fs/x.c", FILE.to_owned()),
        ("fs/Makefile", "CFLAGS_REMOVE_y.o = -pg\nobj-y += x.o\n".to_owned()),
        ("fs/y.c", "int y(void)\n{\n\treturn 1;\n}\n".to_owned()),
    ]));
    let parse =
        |text: &String| ("fix".to_owned(), SourcePatch::parse(text.as_bytes()).expect("a patch"));
    let patches: Vec<_> = texts.iter().map(parse).collect();
    check(&patches, &Surroundings { config: None, tree: Some(&tree) })
}

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
fn function_with_a_static_variable_does_not_go_away_unnoticed() {
    let gone = "-static int f(void)\n-{\n-\tconst static int n = 3;\n-\treturn n;\n-}\n int x;";
    judged("", gone, Verdict::Unsure, &["static-local-removed"]);
}

#[test]
fn init_data_beside_other_code_may_be_left_out() {
    let data = "-static int __initdata order = 3;\n+static int __initdata order = 4;\n int x;";
    judged("", data, Verdict::Refused, &["init-code"]);
    let other = patch("fs/y.c", "static int g(void)", " \tint x;\n-\tx = 1;\n+\tx = 2;");
    let both = report(&(patch("fs/x.c", "", data) + &other));
    assert_eq!(rules(&both, Level::Unsure), ["init-code"], "{both:#?}");
    assert_eq!(both.verdict, Verdict::Unsure);
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

/// A patch of many files, and one of many functions that change, come and go, of `size` times 1,000
/// lines: what is looked up for each of them must not be searched for among all.
fn many(size: usize) -> [String; 3] {
    let new = |number: usize| {
        format!("--- /dev/null\n+++ b/fs/n{number}.c\n@@ -0,0 +1 @@\n+int n{number};\n")
    };
    let both = |text: &dyn Fn(usize, usize) -> String, count: usize| {
        let side = |marker, which| -> String {
            (0..count * size).map(|n| format!("{marker}{}\n", text(n, which))).collect()
        };
        side('-', 0) + &side('+', 1)
    };
    let come_and_go = both(
        &|number, which| match number % 2 {
            0 => format!("int f{number}(int a) {{ return {which}; }}"),
            _ => format!("int g{number}_{which}(int a) {{ return 1; }}"),
        },
        600,
    );
    let init = both(
        &|number, which| match number % 2 {
            0 => format!("static int f{number}(int a) {{ return {which}; }}"),
            _ => format!("int __init i{number}(int a) {{ return f{number}({which}); }}"),
        },
        600,
    );
    let files: String = (0..500 * size).map(new).collect();
    [files, patch("fs/x.c", "", &(come_and_go + " x")), patch("fs/x.c", "", &(init + " x"))]
}

#[test]
fn many_files_and_functions_are_judged_in_linear_time() {
    let time = |text: &String| {
        let parsed = SourcePatch::parse(text.as_bytes()).expect("a patch");
        let begin = processor_time();
        check(&[("fix".to_owned(), parsed)], &Surroundings::default());
        processor_time() - begin
    };
    for (number, (small, large)) in many(1).iter().zip(&many(8)).enumerate() {
        let (small, large) = (time(small), time(large));
        let limit = (small * 24).max(Duration::from_millis(300));
        println!("set {number}: {small:?}, {large:?}");
        assert!(large < limit, "set {number} takes {large:?}, an eighth of it {small:?}");
    }
}

/// Texts that a light reader of C could be slow with, of about `size` times 1,000 lines.
fn hostile(size: usize) -> [String; 8] {
    let lines = |marker: char, count: usize, text: &dyn Fn(usize) -> String| -> String {
        (0..count * size).map(|number| format!("{marker}{}\n", text(number))).collect()
    };
    let define = |value: usize| move |number: usize| format!("#define A{number} {value}");
    let constant =
        |value: usize| move |number: usize| format!("static const int c{number} = {value};");
    [
        lines('-', 500, &define(1)) + &lines('+', 500, &define(2)),
        lines('+', 1000, &|_| "{ (".to_owned()) + " x",
        lines('+', 1000, &|_| "\tstatic int n;".to_owned()) + " x",
        lines('+', 600, &|number| format!("int f{number}(int a) {{ }}")) + " x",
        lines('-', 400, &constant(1)) + &lines('+', 400, &constant(2)),
        lines('+', 1000, &|_| "#if A (".to_owned()) + " x",
        lines('-', 1000, &|_| "f(".to_owned()) + "+x",
        lines('+', 1000, &|_| "/* \" '".to_owned()) + " x",
    ]
}

/// What this thread has used of the processor: on a busy machine the clock says nothing.
fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let used = statistics.split(' ').next().and_then(|used| used.parse().ok());
    Duration::from_nanos(used.expect("nanoseconds on the processor"))
}

fn time_of(lines: &str) -> Duration {
    let text = patch("fs/x.c", F, lines);
    let patches = [("fix".to_owned(), SourcePatch::parse(text.as_bytes()).expect("a patch"))];
    let old = lines.lines().filter(|line| !line.starts_with('+'));
    let old: String = old.map(|line| format!("{}\n", &line[1..])).collect();
    let tree = Tree(HashMap::from([("fs/x.c", old)]));
    let begin = processor_time();
    check(&patches, &Surroundings::default());
    check(&patches, &Surroundings { config: None, tree: Some(&tree) });
    processor_time() - begin
}

/// Eight times the text takes eight times as long, and thrice that at most. What is quadratic takes
/// 64 times as long.
#[test]
fn hostile_text_is_judged_in_linear_time() {
    for (number, (small, large)) in hostile(1).iter().zip(&hostile(8)).enumerate() {
        let (small, large) = (time_of(small), time_of(large));
        let limit = (small * 24).max(Duration::from_secs(1));
        println!("set {number}: {small:?}, {large:?}");
        assert!(large < limit, "set {number} takes {large:?}, an eighth of it {small:?}");
    }
}

#[test]
fn new_file_needs_a_makefile_that_makes_it_part_of_the_kernel() {
    let new =
        "--- /dev/null\n+++ b/fs/new.c\n@@ -0,0 +1,4 @@\n+int f(void)\n+{\n+\treturn 1;\n+}\n";
    let with = |line: &str| {
        format!(
            "{new}--- a/fs/Makefile\n+++ b/fs/Makefile\n@@ -3,1 +3,2 @@\n obj-y += a.o\n+{line}\n"
        )
    };
    let judged = |text: &str, config: Option<&str>| {
        let config = config
            .map(|text| elivepatch_model::KernelConfig::parse(text.as_bytes()).expect("a config"));
        let parsed = SourcePatch::parse(text.as_bytes()).expect("a patch");
        let surroundings = Surroundings { config: config.as_ref(), tree: None };
        let report = check(&[("fix".to_owned(), parsed)], &surroundings);
        [Level::Refused, Level::Unsure].map(|level| rules(&report, level).join(" "))
    };
    let found = |refused: &str, unsure: &str| [refused.to_owned(), unsure.to_owned()];
    assert_eq!(judged(new, None), found("file-set", ""));
    assert_eq!(judged(&with("obj-y += new.o"), None), found("", ""));
    assert_eq!(judged(&with("obj-m += new.o"), None), found("file-set", ""));
    let by_config = with("obj-$(CONFIG_NEW) += new.o");
    assert_eq!(judged(&by_config, None), found("", "file-set"));
    let with_config = |line: &str| judged(&by_config, Some(&format!("CONFIG_X86_64=y\n{line}\n")));
    assert_eq!(with_config("CONFIG_NEW=y"), found("", ""));
    assert_eq!(with_config("CONFIG_NEW=m"), found("file-set", ""));
    assert_eq!(with_config("# CONFIG_NEW is not set"), found("", "not-built"));
}

#[test]
fn config_that_only_klp_build_serves_is_left_open_and_any_other_refused() {
    let code = "--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1,4 +1,4 @@ int f(void)\n int f(void)\n {\n\
                -\treturn 1;\n+\treturn 2;\n }\n";
    let judged = |text: &str| {
        let config = elivepatch_model::KernelConfig::parse(text.as_bytes()).expect("a config");
        let parsed = SourcePatch::parse(code.as_bytes()).expect("a patch");
        let surroundings = Surroundings { config: Some(&config), tree: None };
        let report = check(&[("fix".to_owned(), parsed)], &surroundings);
        report.config.iter().map(|finding| finding.level).collect::<Vec<_>>()
    };
    let both = "CONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\nCONFIG_FUNCTION_TRACER=y\n\
        CONFIG_HAVE_FENTRY=y\nCONFIG_KALLSYMS_ALL=y\nCONFIG_DEBUG_INFO=y\nCONFIG_KLP_BUILD=y\n";
    assert_eq!(judged(both), []);
    let only_klp = both.replace("CONFIG_KALLSYMS_ALL=y\n", "");
    assert_eq!(judged(&only_klp), [Level::Unsure]);
    let neither = only_klp.replace("CONFIG_KLP_BUILD=y\n", "");
    assert_eq!(judged(&neither), [Level::Refused]);
}

#[test]
fn one_of_several_patches_without_code_is_refused_as_the_build_does() {
    let code = "--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1,4 +1,4 @@\n int f(void)\n {\n-\treturn 1;\n\
                +\treturn 2;\n }\n";
    let text = "--- a/Documentation/x.rst\n+++ b/Documentation/x.rst\n@@ -1 +1 @@\n-a\n+b\n";
    let parse = |name: &str, text: &str| {
        (name.to_owned(), SourcePatch::parse(text.as_bytes()).expect("a patch"))
    };
    let surroundings = Surroundings { config: None, tree: None };
    let alone = check(&[parse("text", text)], &surroundings);
    assert_eq!(rules(&alone, Level::Refused), ["left-out"]);
    let both = check(&[parse("code", code), parse("text", text)], &surroundings);
    assert_eq!(both.verdict, Verdict::Refused);
    assert_eq!(rules(&both, Level::Refused), ["left-out"]);
    let refused = both.files.iter().find(|file| !file.findings.is_empty()).expect("one is refused");
    assert_eq!(refused.patch, "text");
    let joined = check(&[parse("both", &format!("{code}{text}"))], &surroundings);
    assert_eq!(rules(&joined, Level::Refused), Vec::<&str>::new());
}
