//! The patches of the end-to-end tests: what is refused there on grounds that a text can show must
//! not be called fine here, and what is built there must not be refused here.

use elivepatch_patch::{
    SourcePatch,
    patchability::{Level, Report, Surroundings, Verdict, check},
};

/// What must be said of each patch that fails.
enum Expected {
    /// Refused, by this rule.
    Refused(&'static str),
    /// At least a doubt, by this rule.
    Unsure(&'static str),
    /// It fails on grounds that no text shows (the source, the config, the compiler, the trial).
    AnotherMatter,
}

fn expectation(name: &str) -> Option<Expected> {
    use Expected::{AnotherMatter, Refused, Unsure};
    Some(match name {
        "changed-data" => Refused("changed-data"),
        "comment-only" => Refused("no-code-change"),
        "kconfig" => Refused("build-system"),
        "through-symlink" => Refused("build-system"),
        // Without a function behind its @@, the text does not show that this is __init code.
        "init-code" | "module-init" => Unsure("function-unknown"),
        // Nor that this is the inside of a structure.
        "header-layout" => Unsure("header"),
        // What the finished module is refused for: the text shows no address that lacks its mark.
        "pointer-without-endbr" | "sealed-function" | "sealed-module-function" => AnotherMatter,
        // Whether the rest hangs on it, the build tells.
        "init-needed" => Unsure("init-code"),
        // Whether the function is exported, only the source or the build tells.
        "exported-signature" => Unsure("signature"),
        "static-local-removed" => Refused("static-local-removed"),
        "runtime-constant" | "runtime-constant-moved" => Unsure("runtime-constant"),
        "not-traced" | "not-instrumented" => Refused("not-traceable"),
        "local-becomes-global" => Unsure("linkage"),
        // The hunk does not show the beginning of its function, nor that a static key is in it.
        "module-static-key" => Unsure("function-unknown"),
        // Which functions it is compiled into, and what they hold on this kernel, the objects tell.
        "warning-7.3" => Unsure("header"),
        // What a callback answers, and whether a warning comes, is known only when it runs.
        "callback-refuses" | "warning-hit" => AnotherMatter,
        // What files are linked into, the build files tell.
        "same-name-in-two-parents" => AnotherMatter,
        // What the kernel has beside the patched files, no patch shows.
        "weak-default" | "function-moved" => AnotherMatter,
        // Whether the kernel is built with it, only the base tells.
        "library-code-in-this-kernel" => Unsure("unpatchable-code"),
        "new-file-with-initcall" => Refused("init-code"),
        "already-applied" | "second-hunk" | "missing-file" | "code-left-out" | "undeclared" => {
            AnotherMatter
        }
        _ => return None,
    })
}

fn reports() -> Vec<(String, Report)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../end-to-end/patches");
    let mut reports = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the patches") {
        let path = entry.expect("an entry").path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(name) = name.strip_suffix(".patch") else { continue };
        let text = std::fs::read(&path).expect("a patch");
        let Ok(patch) = SourcePatch::parse(&text) else { continue };
        let report = check(&[(name.to_owned(), patch)], &Surroundings::default());
        reports.push((name.to_owned(), report));
    }
    assert!(reports.len() > 10, "the patches have moved");
    reports
}

fn has(report: &Report, level: Level, rule: &str) -> bool {
    let mut findings = report.files.iter().flat_map(|file| &file.findings);
    findings.any(|finding| finding.level >= level && finding.rule.as_str() == rule)
}

#[test]
fn patch_that_fails_by_its_text_is_never_called_fine() {
    let mut wrong = Vec::new();
    for (name, report) in reports() {
        let Some(name) = name.strip_suffix("-FAIL") else { continue };
        let right = match expectation(name) {
            Some(Expected::Refused(rule)) => {
                report.verdict == Verdict::Refused && has(&report, Level::Refused, rule)
            }
            Some(Expected::Unsure(rule)) => {
                report.verdict >= Verdict::Unsure && has(&report, Level::Unsure, rule)
            }
            Some(Expected::AnotherMatter) => true,
            None => false,
        };
        if !right {
            wrong.push(format!("{name}: {:?} {:#?}", report.verdict, report.files));
        }
    }
    assert!(wrong.is_empty(), "say in `expectation` what check must say of:\n{}", wrong.join("\n"));
}

#[test]
fn patch_that_is_built_is_not_refused() {
    let refused = reports()
        .into_iter()
        .filter(|(name, report)| !name.ends_with("-FAIL") && report.verdict == Verdict::Refused);
    let refused: Vec<_> = refused.collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
