use elivepatch_patch::patchability::Verdict::{Patchable, Refused, Unsure};

use super::support::{F, judged};

#[test]
fn table_within_a_function_is_not_taken_for_code() {
    for lines in [
        " \t\t.read_rr = r,\n \t\t.rmw = m,\n-\t\t.write_copy = a,\n+\t\t.write_copy = b,\n \t\t.read_copy = c,",
        " \t\t{ 3, 4 },\n \t\t{ 5, 6 },\n-\t\t{ 7, 8 },\n+\t\t{ 7, 9 },\n \t\t{ 9, 10 },\n \t};\n \tint i;",
        " \t\t\"a\",\n-\t\t\"b\",\n+\t\t\"c\",\n \t\t\"d\",",
        " \t\t[A] = 1,\n-\t\t[B] = 2,\n+\t\t[B] = 3,\n \t\t[C] = 4,",
        " \t\t1, 2, 3,\n-\t\tFOUR\n+\t\tFIVE\n \t};\n \tint i;",
        " \t\t.ops = &(struct o) {\n \t\t\t.x = 1,\n-\t\t\t.y = 2,\n+\t\t\t.y = 3,\n \t\t},",
        " \t.a = 1,\n-\t.b = 2,\n+\t.b = 3,\n \t.c = 4,",
    ] {
        judged(F, lines, Unsure, &["changed-data"]);
    }
}

#[test]
fn code_that_looks_like_a_table_is_code() {
    for lines in [
        // Its beginning is shown.
        " \tx = 1;\n \tstruct s t = {\n \t\t.a = 1,\n-\t\t.b = 2,\n+\t\t.b = 3,\n \t};",
        " \tstruct s t = {\n \t\t.a = 1,\n-\t\t.b = 2,\n+\t\t.b = 3,\n \t};",
        " \tpr_err(\"a %d\"\n-\t       \"b\", x);\n+\t       \"c\", x);\n \treturn x;",
        // It ends as code does.
        " \t       a, b,\n \t       c,\n-\t       d);\n+\t       e);\n \treturn x;",
        " \t/* one */\n-\tx = 1;\n+\tx = 2;\n \treturn x;",
        " \tif (a) {\n \t\tb();\n \t}\n-\tx = 1;\n+\tx = 2;",
        " \tcase A:\n-\t\tx = 1;\n+\t\tx = 2;\n \t\tbreak;",
        " \t\tx = 1;\n-\t}\n+\t} else {\n+\t\tx = 2;\n+\t}\n \treturn x;",
    ] {
        judged(F, lines, Patchable, &[]);
    }
}

#[test]
fn members_of_a_type_are_not_taken_for_variables() {
    let members = " \t\tint a;\n-\t\tint b;\n+\t\tlong b;\n \t\tint c;";
    judged(F, members, Unsure, &["function-unknown"]);
    judged(F, &format!("{members}\n \t}} r;\n \tx = 1;"), Unsure, &["function-unknown"]);
    // A function's `}` stands alone.
    judged(F, &format!("{members}\n }};\n \n "), Unsure, &["function-unknown"]);
    let shown = " {\n \tstruct req {\n \t\tint a;\n+\t\tint b;\n \t} r;\n \tx = 1;";
    judged(F, shown, Unsure, &["data-structure"]);
    let list = " {\n \tenum {\n \t\tA,\n+\t\tB,\n \t\tC,\n \t};\n \tx = 1;";
    judged(F, list, Unsure, &["type-meaning"]);
}

#[test]
fn parameters_behind_the_heading_are_a_declaration() {
    let long = " \t\tint c,\n-\t\tint d)\n+\t\tlong d, int e)\n {\n \tint x;\n ";
    judged("int vfs_long(struct a *a,", long, Unsure, &["exported-signature"]);
    judged("static int local(struct a *a,", long, Patchable, &[]);
    let alone = "-\t      int b)\n+\t      long b, int c)";
    judged("int f(int a,", alone, Unsure, &["changed-data", "function-unknown"]);
}

#[test]
fn lines_without_context_are_not_believed_to_be_code() {
    judged(F, "-\t(16)\n+\t(32)", Unsure, &["changed-data", "function-unknown"]);
    judged(F, "-\tx = 1;\n+\tx = 2;", Unsure, &["function-unknown"]);
}

#[test]
fn heading_with_a_bracket_is_of_data() {
    let lines = " \t{ 1 },\n-\t{ 2 },\n+\t{ 3 },\n \t{ 4 },";
    judged("static struct ctl_table ipv4_net_table[]", lines, Refused, &["changed-data"]);
    judged("static unsigned char tbl[sizeof(struct f", lines, Refused, &["changed-data"]);
}

#[test]
fn inline_assembly_is_noticed_by_any_of_its_lines() {
    for lines in [
        " \tasm volatile(\"mov %1, %0\\n\"\n-\t\t\"nop\\n\"\n+\t\t\"pause\\n\"\n \t\t: \"=r\"(x) : \"r\"(y));\n \treturn x;",
        " \t\t\"a\\n\"\n-\t\t\"nop\\n\"\n+\t\t\"pause\\n\"\n \t\t: \"=r\"(x) : \"r\"(y));\n \treturn x;",
        " \t\t\"a\\n\"\n-\t\t_ASM_EXTABLE(1b, 2b)\n+\t\t_ASM_EXTABLE(1b, 3b)\n \t\t: \"=r\"(x));",
    ] {
        judged(F, lines, Unsure, &["inline-assembly"]);
    }
}
