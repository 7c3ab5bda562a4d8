//! What cannot be a livepatch: each reason has its exit code, its class and a message that helps.
//!
//! Refusals that need no build are in refusals.rs.

use elivepatch_api::{BuildRequest, client::NamedPatch};
use elivepatch_end_to_end::{
    RELEASE, ServerOptions, TestServer, own_patch, stock_config, stock_config_file,
};
use elivepatch_model::{Architecture, BuildOptions, Failure, FailureClass, StepName, TargetFacts};

/// Orders a build of each patch and looks whether it fails as it should; reports all that do not.
#[track_caller]
fn patches_fail(cases: &[(&str, FailureClass, StepName, &[&str])]) {
    let server = TestServer::start(ServerOptions::default());
    let mut wrong = Vec::new();
    for (name, class, step, parts) in cases {
        let run = server.build().patch(&own_patch(&format!("{name}-FAIL"))).run();
        let said = &run.stderr;
        let beginning = format!("failed in step {step}: ");
        let is_right = run.code == Some(3)
            && run.stored().is_empty()
            && said.contains(&format!("({class})"))
            && said.contains(&beginning)
            && said.contains("\nhint: ")
            && parts.iter().all(|part| said.contains(part));
        if !is_right {
            wrong.push(format!("{name}: code {:?}, want {class}, {parts:?}:\n{said}", run.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn patch_that_does_not_fit_the_source_says_where() {
    use FailureClass::{FixInSource, PatchDoesNotApply};
    patches_fail(&[
        (
            "second-hunk",
            PatchDoesNotApply,
            StepName::Check,
            &["hunk 2 of 2 (line 12 of the patch) does not apply to fs/proc/meminfo.c at line 128"],
        ),
        (
            "already-applied",
            FixInSource,
            StepName::Check,
            &["the source of 6.1.176-1 has the fix already"],
        ),
        (
            "missing-file",
            PatchDoesNotApply,
            StepName::Check,
            &["there is no file fs/proc/no-such-file.c in the source of 6.1.176-1"],
        ),
    ]);
}

#[test]
fn code_that_the_config_leaves_out_is_named() {
    patches_fail(&[(
        "code-left-out",
        FailureClass::CodeNotBuilt,
        StepName::Check,
        &["holds code of drivers/gpu/drm/i915/i915_driver.c: its config leaves it out", RELEASE],
    )]);
}

#[test]
fn code_that_kpatch_cannot_replace_is_refused_after_compiling() {
    use FailureClass::{CompileFailed, DataChanged, InitCode, NoFunctionalChange, NotPatchable};
    patches_fail(&[
        ("comment-only", NoFunctionalChange, StepName::Diff, &["changes no function"]),
        (
            // At line 20 of the source and line 10 of the patch.
            "undeclared",
            CompileFailed,
            StepName::Compile,
            &["undeclared-FAIL.patch:10: error: ", "undeclared_variable", "fs/proc/uptime.c:20:"],
        ),
        (
            "changed-data",
            DataChanged,
            StepName::Diff,
            &["fs/dcache.o", "section .data..read_mostly"],
        ),
        ("init-code", InitCode, StepName::Diff, &["fs/proc/version.o", "section .init.text"]),
        ("module-init", InitCode, StepName::Diff, &["zram_drv.o of the module zram"]),
        (
            "same-name-in-two-parents",
            NotPatchable,
            StepName::Link,
            &["vmlinux and 8021q would both bring a shown_offset that is not static"],
        ),
    ]);
}

#[test]
fn function_that_the_kernel_has_elsewhere_is_refused() {
    patches_fail(&[
        (
            // x86's own is in arch/x86/kernel/process.c.
            "weak-default",
            FailureClass::SymbolAmbiguous,
            StepName::Inspect,
            &[
                "replace arch_dup_task_struct of vmlinux for kernel/fork.c: the kernel would take the global one",
                "weak default, which that one overrides",
            ],
        ),
        (
            "function-moved",
            FailureClass::NotPatchable,
            StepName::Link,
            &[
                "brings vm_commit_limit to fs/proc/uptime.c, and vmlinux has a vm_commit_limit already",
            ],
        ),
    ]);
}

/// What becomes of a patch that is fine, for a target that is not.
fn target_fails(facts: TargetFacts, config: &str) -> Failure {
    let server = TestServer::start(ServerOptions::default());
    let api = server.api();
    let request =
        BuildRequest { target: facts, checks: Vec::new(), options: BuildOptions::default() };
    let content = std::fs::read(own_patch("old-style")).expect("the patch").into();
    let patch = NamedPatch { name: "label.patch".to_owned(), content };
    let submission = api.submit(&request, config.as_bytes(), &[patch]).expect("it is read");
    let build = api.wait_for_end(submission.build.number);
    assert!(build.manifest.is_none(), "{build:#?}");
    build.failure.expect("a failure")
}

fn stock_facts() -> TargetFacts {
    TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64)
}

#[test]
fn image_that_is_not_the_packages_is_refused() {
    let build_id = "00112233445566778899aabbccddeeff00112233".parse().expect("a build-id");
    let facts = TargetFacts { build_id: Some(build_id), ..stock_facts() };
    let failure = target_fails(facts, &stock_config());
    assert_eq!(failure.class, FailureClass::BuildIdMismatch, "{failure:#?}");
    assert!(failure.message.contains("0011223344556677"), "{failure}");
    assert!(failure.message.contains("bb603a9147d3efe4"), "the stock one is missing: {failure}");
}

#[test]
fn config_of_another_kernel_is_refused_by_the_options_that_differ() {
    let config = stock_config();
    let off = "# CONFIG_HZ_1000 is not set";
    assert!(config.contains(off), "the stock config has changed");
    let config = config.replace(off, "CONFIG_HZ_1000=y");
    let failure = target_fails(stock_facts(), &config);
    assert_eq!(failure.class, FailureClass::ConfigMismatch, "{failure:#?}");
    assert!(
        failure.message.contains(RELEASE) && failure.message.contains("1 option "),
        "{failure}"
    );
    assert_eq!(failure.details, ["CONFIG_HZ_1000: y / off"]);
}

#[test]
fn compiler_that_no_toolchain_root_has_is_named() {
    let line = stock_config();
    let line = line.lines().find(|line| line.starts_with("CONFIG_CC_VERSION_TEXT=")).expect("it");
    let other = "CONFIG_CC_VERSION_TEXT=\"gcc-9 (Ubuntu 9.4.0-1ubuntu1) 9.4.0\"";
    let failure = target_fails(stock_facts(), &stock_config().replace(line, other));
    assert_eq!(failure.class, FailureClass::ToolchainUnknown, "{failure:#?}");
    assert!(failure.message.contains("gcc-9 (Ubuntu 9.4.0-1ubuntu1)"), "{failure}");
    let all = format!("{failure} {} {:?}", failure.hint, failure.details);
    assert!(all.contains("debian-12-gcc-12"), "what is there is not listed: {failure:#?}");
}

#[test]
fn release_without_packages_is_refused_with_those_that_are_served() {
    let server = TestServer::start(ServerOptions::default());
    let run = server
        .build_for(&stock_config_file())
        .args(["--kernel", "6.1.0-999-cloud-amd64"])
        .patch(&own_patch("old-style"))
        .run();
    let said = run.fails_with(1, FailureClass::ReleaseUnknown);
    assert!(said.contains("6.1.0-999-cloud-amd64"), "{said}");
    assert!(said.contains(RELEASE), "what can be served is not listed: {said}");
}

#[test]
fn header_that_changes_a_structure_is_refused_with_the_structure() {
    patches_fail(&[(
        "header-layout",
        FailureClass::DataStructureChanged,
        StepName::Diff,
        &["struct pde_opener has 48 bytes instead of 40 (fs/proc/internal.h)"],
    )]);
}
