use elivepatch_patch::{
    SourcePatch,
    patchability::{FileRole, Level, Surroundings, Verdict, check},
};

use super::support::{F, patch, report, rules};

#[test]
fn places_are_judged_as_the_build_judges_them() {
    for (path, verdict, rule) in [
        ("arch/x86/entry/entry_64.S", Verdict::Refused, "assembly"),
        ("fs/Makefile", Verdict::Refused, "build-system"),
        ("lib/iov_iter.c", Verdict::Refused, "unpatchable-code"),
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
    assert_eq!(alone.verdict, Verdict::NothingToDo);
    assert_eq!(rules(&alone, Level::Note), ["left-out"]);
    let both = check(&[parse("code", code), parse("text", text)], &surroundings);
    assert_eq!(both.verdict, Verdict::Refused);
    assert_eq!(rules(&both, Level::Refused), ["left-out"]);
    let refused = both.files.iter().find(|file| !file.findings.is_empty()).expect("one is refused");
    assert_eq!(refused.patch, "text");
    let joined = check(&[parse("both", &format!("{code}{text}"))], &surroundings);
    assert_eq!(rules(&joined, Level::Refused), Vec::<&str>::new());
}

#[test]
fn what_is_only_taken_away_goes_on_running_and_what_never_was_there_needs_nothing() {
    let removed = "diff --git a/fs/a.c b/fs/a.c\ndeleted file mode 100644\n--- a/fs/a.c\n\
                   +++ /dev/null\n@@ -1,3 +0,0 @@\n-int f(void)\n-{\n-}\n";
    let renamed = "diff --git a/fs/a.c b/fs/b.c\nsimilarity index 100%\nrename from fs/a.c\n\
                   rename to fs/b.c\n";
    for text in [removed, renamed] {
        let report = report(text);
        assert_eq!(report.verdict, Verdict::Refused, "{report:#?}");
        assert_eq!(rules(&report, Level::Refused), ["file-set"]);
        let finding = &report.files[0].findings[0];
        assert!(finding.advice.contains("make its functions fail instead"), "{finding:#?}");
        let beside = self::report(&format!(
            "{}{text}",
            patch("fs/x.c", F, " \tint x;\n-\tx = 1;\n+\tx = 2;")
        ));
        assert_eq!(beside.verdict, Verdict::Patchable, "{beside:#?}");
    }
    let document = report(&patch("Documentation/x.rst", "", "-a\n+b\n c"));
    assert_eq!(document.verdict, Verdict::NothingToDo, "{document:#?}");
    assert_eq!(rules(&document, Level::Note), ["left-out"]);
}
