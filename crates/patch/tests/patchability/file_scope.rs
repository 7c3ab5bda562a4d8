use elivepatch_patch::patchability::Verdict;

use super::support::judged;

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
fn what_reaches_further_than_its_line_is_doubted() {
    for lines in [
        "-#include <a.h>\n+#include \"other.c\"\n ",
        "+#include \"table.inc\"\n ",
        "+#define MODULE_PARAM_PREFIX \"x.\"\n int a;",
        "+#define LIMIT 1\n #include <a.h>",
    ] {
        judged("", lines, Verdict::Unsure, &["macro-changed"]);
    }
    judged("", " #include <a.h>\n+#include \"b.h\"\n+#define LIMIT 1", Verdict::Patchable, &[]);
}
