use elivepatch_model::KernelConfig;
use elivepatch_patch::{
    SourcePatch,
    patchability::{FunctionChange, Level, Rule, Surroundings, Verdict, check},
};

use super::support::{F, judged, patch, report};

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
fn function_with_a_static_variable_does_not_go_away_unnoticed() {
    let gone = "-static int f(void)\n-{\n-\tconst static int n = 3;\n-\treturn n;\n-}\n int x;";
    judged("", gone, Verdict::Unsure, &["static-local-removed"]);
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
fn pointer_is_a_part_of_the_result() {
    let signature = |old: &str, new: &str| {
        format!("-{old}\n+{new}\n {{\n \treturn 0;\n }}\n EXPORT_SYMBOL_GPL(f);")
    };
    for (old, new) in [("void f(int a)", "void *f(int a)"), ("int **f(int a)", "int *f(int a)")] {
        judged("", &signature(old, new), Verdict::Unsure, &["exported-signature"]);
    }
    let marked = signature("int f(int a)", "__must_check int f(int a)");
    judged("", &marked, Verdict::Patchable, &[]);
}

#[test]
fn static_variable_that_nothing_uses_any_more_goes_away() {
    let lines = " {\n \tstatic int count;\n \n-\tcount++;\n+\tg();\n \treturn 0;\n }\n ";
    judged("", &format!(" {F}\n{lines}"), Verdict::Refused, &["static-local-removed"]);
    judged(F, lines, Verdict::Unsure, &["static-local-removed"]);
    // A member of that name is another thing, and one that was only read may not have been there.
    let member = lines.replace("g();", "x->count = 1;");
    judged("", &format!(" {F}\n{member}"), Verdict::Refused, &["static-local-removed"]);
    let read = lines.replace("count++", "g(count)");
    judged("", &format!(" {F}\n{read}"), Verdict::Unsure, &["static-local-removed"]);
    let kept = lines.replace("g();", "g(count);");
    judged("", &format!(" {F}\n{kept}"), Verdict::Patchable, &[]);
}

#[test]
fn attribute_of_a_declaration_holds_for_the_definition() {
    let lines =
        " static int __init f(void);\n \n static int f(void)\n {\n-\treturn 1;\n+\treturn 2;\n }";
    judged("", lines, Verdict::Unsure, &["init-code"]);
    let plain = lines.replace("__init ", "");
    judged("", &plain, Verdict::Patchable, &[]);
}

#[test]
fn function_that_has_run_already_is_told() {
    let body = " {\n-\treturn 1;\n+\treturn 2;\n }\n ";
    for call in ["late_initcall(f);", "early_param(\"x\", f);"] {
        let lines = format!(" static int f(void)\n{body}\n {call}\n ");
        judged("", &lines, Verdict::Unsure, &["initcall"]);
    }
    judged(
        "",
        &format!(" static int f(void)\n{body}\n module_exit(f);\n "),
        Verdict::Patchable,
        &[],
    );
}

#[test]
fn config_says_what_some_attributes_mean() {
    let verdict = |header: &str, line: &str| {
        let text = patch("fs/x.c", "", &format!(" {header}\n {{\n-\treturn 1;\n+\treturn 2;\n }}"));
        let config = format!("CONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\n{line}\n");
        let config = KernelConfig::parse(config.as_bytes()).expect("a config");
        let parsed = SourcePatch::parse(text.as_bytes()).expect("a patch");
        let surroundings = Surroundings { config: Some(&config), tree: None };
        let mut report = check(&[("fix".to_owned(), parsed)], &surroundings);
        report.files.remove(0).findings.iter().map(|finding| finding.level).max()
    };
    let net = "static int __net_init f(void)";
    assert_eq!(verdict(net, "CONFIG_NET_NS=y"), None);
    assert_eq!(verdict(net, "# CONFIG_NET_NS is not set"), Some(Level::Refused));
    let inline = "static nokprobe_inline int f(void)";
    assert_eq!(verdict(inline, "CONFIG_KPROBES=y"), None);
    assert_eq!(verdict(inline, ""), Some(Level::Unsure));
    let raw = "static int __attribute__((__section__(\".init.text\"))) f(void)";
    assert_eq!(verdict(raw, ""), Some(Level::Refused));
    assert_eq!(verdict("static __noscs int f(void)", ""), None);
}

#[test]
fn kernels_before_6_11_have_no_runtime_constants() {
    let text =
        patch("fs/dcache.c", F, " \tif (!access_ok(p, a))\n-\t\treturn 1;\n+\t\treturn 2;\n }");
    let rules = |header: &str| {
        let config = format!("{header}\nCONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\n");
        let config = KernelConfig::parse(config.as_bytes()).expect("a config");
        let parsed = SourcePatch::parse(text.as_bytes()).expect("a patch");
        let surroundings = Surroundings { config: Some(&config), tree: None };
        let report = check(&[("fix".to_owned(), parsed)], &surroundings);
        report.files[0].findings.iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    let header = |version: &str| format!("# Linux/x86 {version} Kernel Configuration");
    assert_eq!(rules(&header("6.10.9")), []);
    assert!(rules(&header("6.11.0")).contains(&Rule::RuntimeConstant));
    // A config that does not say its version.
    assert!(rules("").contains(&Rule::RuntimeConstant));
}
