//! `base warm`: a base is ready before anybody orders a livepatch, and it is the one that a build takes.

use std::{path::Path, process::Command};

use elivepatch_end_to_end::{
    RELEASE, ServerOptions, TestServer, cache_directory, make_base_ready, patch, program,
    stock_config,
};
use elivepatch_facts::SavedFacts;
use elivepatch_model::{Architecture, TargetFacts};

/// What a machine with the stock kernel has saved.
fn facts() -> SavedFacts {
    let target = TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64);
    SavedFacts {
        target: TargetFacts {
            kernel_version: Some("#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)".to_owned()),
            ..target
        },
        config: Some(stock_config().into_bytes()),
        kallsyms: None,
        baseline: Vec::new(),
        baseline_origin: String::new(),
        missing: Vec::new(),
        collected_by: "a test".to_owned(),
    }
}

/// Runs the command on the cache of all tests; what it printed as data, and what it said.
fn warm(arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(program("elivepatch-server"));
    command.args(["base", "warm"]).args(arguments).arg("--cache-directory").arg(cache_directory());
    let output = command.output().expect("the server's program");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), said)
}

#[test]
fn warm_base_is_that_of_the_builds_by_name_and_by_facts() {
    make_base_ready();
    let (by_name, said) = warm(&[RELEASE, "--kernel-version", "Debian 6.1.176-1"]);
    assert!(by_name.starts_with(RELEASE) && by_name.ends_with(" is ready\n"), "{by_name}");
    assert!(said.contains("base: ready, vmlinux "), "{said}");
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("host.facts.json");
    std::fs::write(&file, facts().write()).expect("own directory");
    let file = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (by_facts, _) = warm(&["--facts", &file(&place.path().join("host.facts.json"))]);
    assert_eq!(by_facts, by_name);
    // A build finds it.
    let server = TestServer::start(ServerOptions::default());
    let run = server.build().patch(&patch("demo/meminfo-label")).run().succeeds();
    let base = run.stderr.lines().find(|line| line.contains("base: prepare the base"));
    assert!(base.is_some_and(|line| line.contains(" s: ready, vmlinux ")), "{}", run.stderr);
}
