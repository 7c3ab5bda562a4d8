//! What is sent to start a run.

use std::fs;

use super::*;

#[test]
fn config_baseline_and_selection_are_sent() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let baseline = "--- a/Makefile\n+++ b/Makefile\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n";
    fs::write(desk.path().join("local.patch"), baseline).expect("a file");
    let ended = desk.run(&[
        "cve",
        "--url",
        &server.url,
        "--config",
        "config",
        "--baseline",
        "local.patch",
        "--severity",
        "7",
        "--only",
        "CVE-2026-1001",
        "--exclude",
        "CVE-2026-1002",
        "--again",
        "--without",
        "line-numbers",
        "--linux-version",
        "6.1.176",
        "--no-download",
        "--always",
    ]);
    ended.expect(5, &["baseline: 1 patch from local.patch"]);
    assert!(ended.stdout.contains("livepatch: build 7"), "{ended:#?}");
    assert!(desk.results().is_empty());
    let parts = server.seen().parts;
    let names: Vec<_> = parts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["request", "config", "baseline"]);
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    assert_eq!(
        request,
        serde_json::json!({
            "target": {"release": RELEASE, "architecture": "x86_64"}, "linux_version": "6.1.176",
            "selection": {
                "only": ["CVE-2026-1001"], "exclude": ["CVE-2026-1002"], "severity": 7.0
            },
            "options": {"without": ["line-numbers"]}, "again": true,
        })
    );
}

#[test]
fn saved_facts_are_sent_with_all_that_they_hold() {
    let desk = crate::facts::desk_with_host();
    desk.run(&["facts", "--root", "host", "--output", "host.facts.json"]).expect(0, &[]);
    let server = Double::start(with(CveScript::finished()));
    let line = ["--cve", "--facts", "host.facts.json", "--url", &server.url, "--output", "out"];
    desk.run(&line).expect(5, &["baseline: 2 patches of sys-kernel/gentoo-sources-6.12.30"]);
    let parts = server.seen().parts;
    let names: Vec<_> = parts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["request", "config", "kallsyms", "baseline", "baseline"]);
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    assert_eq!(request["target"]["release"], "6.12.30-gentoo");

    // A dry run sends none of the texts, and no run is started by it.
    let line = ["cve", "--dry-run", "--facts", "host.facts.json", "--url", &server.url];
    desk.run(&line).expect(0, &[]);
    assert!(server.seen().parts.is_empty());
}

#[test]
fn running_kernel_that_is_named_is_known_as_well_as_one_that_is_not() {
    let names = rustix::system::uname();
    let release = names.release().to_str().expect("a release");
    let version = names.version().to_str().expect("a version");
    let mut named = asked_of(&["--kernel", release]);
    let mut unnamed = asked_of(&[]);
    for target in [&mut named, &mut unnamed] {
        // It may be another list each time.
        target["machine"]["loaded_modules"].take();
    }
    assert_eq!(named, unnamed);
    assert_eq!(named["kernel_version"], version);
    let other = asked_of(&["--kernel", RELEASE]);
    assert_eq!(other, serde_json::json!({"release": RELEASE, "architecture": "x86_64"}));
}

/// What a dry run says of the kernel.
fn asked_of(more: &[&str]) -> serde_json::Value {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    desk.run(&[&["cve", "--dry-run", "--url", &server.url], more].concat()).expect(0, &[]);
    server.seen().assessments.remove(0)["target"].take()
}
