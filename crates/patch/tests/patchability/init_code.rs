use elivepatch_patch::patchability::{Level, Verdict};

use super::support::{judged, patch, report, rules};

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
fn init_data_beside_other_code_may_be_left_out() {
    let data = "-static int __initdata order = 3;\n+static int __initdata order = 4;\n int x;";
    judged("", data, Verdict::Refused, &["init-code"]);
    let other = patch("fs/y.c", "static int g(void)", " \tint x;\n-\tx = 1;\n+\tx = 2;");
    let both = report(&(patch("fs/x.c", "", data) + &other));
    assert_eq!(rules(&both, Level::Unsure), ["init-code"], "{both:#?}");
    assert_eq!(both.verdict, Verdict::Unsure);
}
