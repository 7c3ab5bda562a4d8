//! CVE mode from the command line to what is printed, stored and remembered.

mod cron;
mod files;
mod order;

use std::fs;

use elivepatch_api::{ErrorBody, RunState};
use elivepatch_cve::CveId;
use elivepatch_model::{Failure, FailureClass};

use crate::double::{
    CveScript, Desk, Double, Ended, MODULE, MODULE_NAME, RELEASE, Script, manifest, refusal,
    success,
};

/// What the server does when its CVEs are these.
pub fn with(cves: CveScript) -> Script {
    Script { cves, ..success() }
}

/// The run for the stock kernel, told whether or not it is news.
fn cve(desk: &Desk, server: &Double, more: &[&str]) -> Ended {
    let line = ["cve", "--url", &server.url, "--kernel", RELEASE, "--output", "out", "--always"];
    desk.run(&[&line[..], more].concat())
}

fn request(server: &Double) -> serde_json::Value {
    serde_json::from_slice(&server.seen().parts[0].2).expect("JSON")
}

#[test]
fn run_is_followed_and_its_livepatch_is_stored() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::going_on())));
    let ended = cve(&desk, &server, &[]);
    ended.expect(
        5,
        &[
            "run 3 on http://127.0.0.1",
            "trying each fix alone: 1 of 3 (3 to be tried, 1 has no fix yet, 1 waits for you): \
             CVE-2026-1001: compile\n",
            "putting the fixes together (1 in the livepatch, 2 need a reboot)",
            "--run 3 --verdict needs-reboot",
        ],
    );
    let expected = "\
1 fixed live, 2 need a reboot, 1 has no fix yet, 254 are not in this kernel, 1
  waits for you
  6.1.0-50-cloud-amd64 is Linux 6.1.176 (the base's source)
  CVE feed of 2026-08-21 00:00 UTC
  need a reboot: 1 data-structure-changed, 1 init-code
  the next reboot: Linux 6.1.183 or later has the fixes of all of these
livepatch: out/livepatch-meminfo.ko
";
    assert!(ended.stdout.starts_with(expected), "{ended:#?}");
    assert!(
        ended.stdout.contains("load it:    sudo elivepatch apply out/livepatch-meminfo.ko"),
        "{ended:#?}"
    );
    assert_eq!(fs::read(desk.module()).expect("the module"), MODULE);
    let parts = server.seen().parts;
    let names: Vec<_> = parts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["request"], "the server has the stock kernel's config");
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    assert_eq!(
        request,
        serde_json::json!({
            "target": {"release": RELEASE, "architecture": "x86_64"}, "selection": {}
        })
    );
}

#[test]
fn checks_go_with_a_run_and_what_was_not_made_is_told() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let check = "command = 'cat /proc/stat'\nbefore = 'a'\nafter = 'b'\n";
    let of = |cve: &str| format!("[[check]]\ncve = '{cve}'\n{check}");
    let text = format!("{}{}[[check]]\n{check}", of("CVE-2026-1001"), of("CVE-2026-1002"));
    fs::write(desk.path().join("checks.toml"), text).expect("a file");
    let ended = cve(&desk, &server, &["--checks", "checks.toml"]);
    ended.expect(5, &["warning: the checks of CVE-2026-1002 were not made: its fix is not in"]);
    assert!(!ended.stderr.contains("the checks of CVE-2026-1001"), "{ended:#?}");
    let sent = request(&server)["checks"].clone();
    let cves: Vec<_> = sent.as_array().expect("a list").iter().map(|check| &check["cve"]).collect();
    assert_eq!(
        cves,
        ["CVE-2026-1001", "CVE-2026-1002"]
            .map(serde_json::Value::from)
            .iter()
            .chain([&serde_json::Value::Null])
            .collect::<Vec<_>>()
    );
    let line = ["--cve", "--kernel", RELEASE, "--url", &server.url, "--checks", "checks.toml"];
    desk.run(&line).expect(5, &["the checks of CVE-2026-1002"]);

    fs::write(desk.path().join("checks.toml"), of("1001")).expect("a file");
    cve(&desk, &server, &["--checks", "checks.toml"]).expect(1, &["cannot read the checks"]);
    cve(&desk, &server, &["--checks", "checks.toml", "--dry-run"])
        .expect(2, &["'--checks <FILE>' cannot be used with '--dry-run'"]);
}

#[test]
fn classic_form_is_the_same_and_takes_a_bare_version() {
    for release in [RELEASE, "6.1.176"] {
        let script = with(CveScript::finished().with(|run| {
            run.target.release = release.parse().expect("a release");
            run.livepatch = None;
        }));
        let (desk, server) = (Desk::new(), Double::start(script));
        let line = ["--cve", "--kernel", release, "--url", &server.url];
        let ended = desk.run(&line);
        ended.expect(5, &[]);
        assert!(ended.stdout.starts_with("1 fixed live, 2 need a reboot"), "{ended:#?}");
        assert_eq!(request(&server)["target"]["release"], release);
    }
    let ended = Desk::new().run(&["--cve", "--patch", "a.patch", "--url", "127.0.0.1:1"]);
    ended.expect(2, &["'--cve' cannot be used with '--patch <FILE>'"]);
}

/// The server's own answer to a bare version is tested there.
#[test]
fn stock_kernel_that_a_version_led_to_is_named() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let line = ["cve", "--always", "--kernel", "6.1.176", "--url", &server.url];
    let told = format!("kernel: {RELEASE} (the stock kernel of Linux 6.1.176)");
    desk.run(&line).expect(5, &[&told]);
}

#[test]
fn exit_code_tells_whether_a_cve_is_open() {
    for (counts, code) in [
        (&[("livepatch", 3), ("not-built", 254), ("already-fixed", 9)][..], 0),
        (&[], 0),
        (&[("livepatch", 3), ("left-out", 1)], 0),
        (&[("livepatch", 3), ("denied", 1)], 5),
        (&[("not-patchable", 1)], 5),
        (&[("needs-approval", 1)], 5),
        (&[("no-fix", 1)], 5),
        (&[("fix-unavailable", 1)], 5),
        (&[("not-tried", 1)], 5),
    ] {
        let script = CveScript::finished().with(|run| {
            run.counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        });
        let (desk, server) = (Desk::new(), Double::start(with(script)));
        cve(&desk, &server, &[]).expect(code, &[]);
        let json = cve(&desk, &server, &["--json"]);
        json.expect(code, &[]);
        let printed: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
        assert_eq!(printed["exposed"], code == 5);
        assert_eq!(printed["run"]["number"], 3);
        assert_eq!(printed["module"], format!("out/{MODULE_NAME}"));
    }
}

#[test]
fn verdicts_are_listed_in_eighty_columns_and_a_cve_is_explained() {
    let script = CveScript::finished().with(|run| {
        run.cves[1].title = format!("net: \u{1b}[2J{}", "grow a structure ".repeat(8));
    });
    let (desk, server) = (Desk::new(), Double::start(with(script)));
    let listed = cve(&desk, &server, &["--verdict", "needs-reboot"]);
    listed.expect(5, &[]);
    for part in [
        "CVE-2026-1002      -   not-patchable   6.1.183    data-structure-changed\n",
        "                  net: \\u{1b}[2Jgrow a structure",
        "CVE-2026-1003     7.1  not-patchable   6.1.180    init-code\n",
    ] {
        assert!(listed.stdout.contains(part), "{part:?} is missing in {listed:#?}");
    }
    assert!(!listed.stdout.contains("CVE-2026-1004") && !listed.stdout.contains('\u{1b}'));
    let loading = listed.stdout.find("livepatch:").expect("a livepatch");
    for line in listed.stdout[..loading].lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }

    for spelling in ["--explain", "--cve"] {
        let told = cve(&desk, &server, &[spelling, "CVE-2026-1002"]);
        told.expect(5, &[]);
        for part in [
            "not-patchable: no livepatch can be made of the fix",
            "struct sock has another size after the patch (data-structure-changed)",
            "boot Linux 6.1.183 or later of this branch",
            "In two lines.",
        ] {
            assert!(told.stdout.contains(part), "{part:?} is missing in {told:#?}");
        }
        assert!(!told.stdout.contains("need a reboot"), "{told:#?}");
    }
    cve(&desk, &server, &["--explain", "CVE-2020-9999"])
        .expect(1, &["error: the server's feed has no CVE-2020-9999"]);
}

#[test]
fn option_that_leaves_code_out_is_named_wherever_the_cve_is_told() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let reports = ["--html", "out/report.html", "--openvex", "out/report.json"];
    let listed = cve(&desk, &server, &[&reports[..], &["--verdict", "not-built"]].concat());
    listed.expect(5, &[]);
    assert!(listed.stdout.contains("CONFIG_DRM_X is not set"), "{listed:#?}");
    let reason = "not compiled: drivers/gpu/drm/x.c: CONFIG_DRM_X is not set";
    for name in ["report.html", "report.json"] {
        let text = fs::read_to_string(desk.path().join("out").join(name)).expect("a report");
        assert!(text.contains(reason), "{name}: {text}");
    }
    let told = cve(&desk, &server, &["--explain", "CVE-2026-1006"]);
    assert!(told.stdout.contains("drivers/gpu/drm/x.c: CONFIG_DRM_X is not set"), "{told:#?}");
    let json = cve(&desk, &server, &["--json"]);
    let printed: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let left_out = &printed["run"]["cves"][5]["applicability"]["left_out"];
    assert_eq!(left_out[0]["options"][0], "CONFIG_DRM_X");
}

#[test]
fn dry_run_speaks_the_same_language_and_ends_well() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let line = ["cve", "--dry-run", "--url", &server.url, "--kernel", RELEASE];
    let ended = desk.run(&line);
    ended.expect(0, &[]);
    let expected = "\
3 may be fixed live, 1 has no fix yet, 254 are not in this kernel, 1 waits for
  you
  6.1.0-50-cloud-amd64 is Linux 6.1.176 (the base's source)
  CVE feed of 2026-08-21 00:00 UTC
candidate          3  the code is or may be in this kernel, and its branch has a
                      fix
";
    assert!(ended.stdout.starts_with(expected), "{ended:#?}");
    assert!(server.seen().parts.is_empty(), "no run is started");
    assert!(!desk.path().join("state").exists());
    let json = desk.run(&[&line[..], &["--json", "--severity", "7.5"]].concat());
    let printed: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let ids: Vec<_> =
        printed["cves"].as_array().expect("a list").iter().map(|cve| &cve["id"]).collect();
    assert_eq!(
        ids,
        ["CVE-2026-1001", "CVE-2026-1002", "CVE-2026-1006"],
        "no score is not harmless"
    );
}

#[test]
fn earlier_run_is_shown_and_a_run_is_cancelled() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let ended = desk.run(&["cve", "--url", &server.url, "--run", "3", "--no-download"]);
    ended.expect(5, &[]);
    assert!(ended.stdout.starts_with("1 fixed live"), "{ended:#?}");
    assert!(server.seen().parts.is_empty());
    assert!(!desk.path().join("state").exists(), "it is no news of the machine");
    desk.run(&["cve", "--url", &server.url, "--run", "4"])
        .expect(1, &["error: there is no build 4"]);
    desk.run(&["cve", "--url", &server.url, "--cancel", "3"]).expect(0, &["run 3 is cancelled"]);
}

#[test]
fn ctrl_c_leaves_the_run_and_says_how_to_follow_and_cancel() {
    let mut script = CveScript::going_on();
    script.looks.truncate(1);
    let (desk, server) = (Desk::new(), Double::start(with(script)));
    let line = ["cve", "--url", &server.url, "--kernel", RELEASE, "--output", "out", "--always"];
    let running = desk.start_line_until(&line, "trying each fix alone");
    let process = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    let follow = format!("elivepatch cve --url {} --run 3", server.url);
    let cancel = format!("elivepatch cve --url {} --cancel 3", server.url);
    running.end().expect(130, &["interrupted; run 3 goes on", &follow, &cancel]);
    assert!(desk.results().is_empty());
}

#[test]
fn server_that_stays_away_ends_the_client_with_how_to_go_on() {
    let mut script = CveScript::going_on();
    script.looks.truncate(1);
    let (desk, mut server) = (Desk::new(), Double::start(with(script)));
    let line =
        ["cve", "--url", &server.url, "--kernel", RELEASE, "--always", "--give-up-after", "2"];
    let running = desk.start_line_until(&line, "trying each fix alone");
    server.die();
    let ended = running.end();
    let follow =
        format!("the run may still go on; follow it with: elivepatch cve --url {}", server.url);
    ended.expect(4, &["the run may go on there, trying again for 2 s", &follow]);
    assert_eq!(ended.stderr.matches("trying again").count(), 1, "{ended:#?}");
}

#[test]
fn run_that_failed_or_was_cancelled_is_no_report() {
    let failure = Failure::new(FailureClass::DiskFull, "the server's disk is full", "make room");
    let failed = CveScript::finished().with(|run| {
        (run.state, run.failure) = (RunState::Failed, Some(failure.clone()));
    });
    let (desk, server) = (Desk::new(), Double::start(with(failed)));
    let ended = cve(&desk, &server, &["--html", "out/report.html"]);
    ended.expect(4, &["error: run 3 failed: the server's disk is full (disk-full)", "make room"]);
    assert!(ended.stdout.is_empty() && desk.results().is_empty(), "{ended:#?}");
    let cancelled = CveScript::finished().with(|run| run.state = RunState::Cancelled);
    let server = Double::start(with(cancelled));
    cve(&desk, &server, &[]).expect(3, &["error: run 3 is cancelled"]);
}

#[test]
fn refusal_is_told() {
    let failure = Failure::new(FailureClass::ConfigUnsupported, "there is no config", "send one");
    let refused: ErrorBody = refusal(failure);
    let script = Script { refusal: Some((422, refused)), ..success() };
    let (desk, server) = (Desk::new(), Double::start(script));
    cve(&desk, &server, &[])
        .expect(1, &["the request was refused: there is no config", "send one"]);
}

#[test]
fn livepatch_with_a_patch_that_the_run_does_not_name_is_refused() {
    let mut other = manifest();
    other.fixes[0].digest = elivepatch_model::Sha256Digest::of(b"another patch");
    let script =
        Script { manifest: serde_json::to_string(&other).expect("plain data"), ..success() };
    let (desk, server) = (Desk::new(), Double::start(script));
    cve(&desk, &server, &[]).expect(
        4,
        &["is not what was ordered: it holds other patches", "run 3 is there; get it with: "],
    );
    assert!(desk.results().is_empty());
    assert!(!desk.path().join("state").exists(), "what was not told is not remembered");
}

#[test]
fn hostile_names_in_arguments_are_refused() {
    let wrong = Desk::new().run(&["cve", "--explain", "CVE-1", "--url", "127.0.0.1:1"]);
    wrong.expect(2, &["invalid value 'CVE-1'"]);
    assert!("CVE-1".parse::<CveId>().is_err());
}
