//! From cron: nothing is said when nothing is new.

use std::{fs, path::PathBuf};

use elivepatch_model::Sha256Digest;

use super::*;

/// As from cron: none of the three is a terminal.
fn cron(desk: &Desk, server: &Double, more: &[&str]) -> Ended {
    server.change(|script| script.cves.looked = 0);
    let line = ["--cve", "--url", &server.url, "--kernel", RELEASE, "--output", "out"];
    desk.run(&[&line[..], more].concat())
}

fn assert_silent(ended: &Ended) {
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""));
}

fn state_file(desk: &Desk) -> PathBuf {
    let mut entries = fs::read_dir(desk.path().join("state")).expect("a directory");
    let path = entries.next().expect("a file").expect("an entry").path();
    assert!(entries.next().is_none(), "one file for one kernel");
    path
}

#[test]
fn second_run_is_silent_and_a_change_is_told() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::going_on())));
    let first = cron(&desk, &server, &[]);
    first.expect(5, &["run 3 on"]);
    assert!(!first.stderr.contains("trying each fix"), "nobody watches: {first:#?}");
    assert!(first.stdout.starts_with("1 fixed live, 2 need a reboot"), "{first:#?}");
    assert_silent(&cron(&desk, &server, &[]));
    assert_silent(&cron(&desk, &server, &[]));

    server.change(|script| {
        let run = script.cves.looks.last_mut().expect("a run");
        run.outcome_digest = Sha256Digest::of(b"two");
        run.cves[4].result.outcome = Some(elivepatch_cve::Outcome::NeedsApproval);
    });
    let changed = cron(&desk, &server, &[]);
    changed.expect(5, &[]);
    let news =
        "  new since 2026-11-23 10:05 UTC:\n    CVE-2026-1005: needs-approval (was no-fix)\n";
    assert!(changed.stdout.contains(news), "{changed:#?}");
    assert_silent(&cron(&desk, &server, &[]));
}

#[test]
fn feed_that_became_stale_is_told_once() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    cron(&desk, &server, &[]).expect(5, &[]);
    server.change(|script| script.cves.looks[0].grounds.feed_is_stale = true);
    cron(&desk, &server, &[]).expect(5, &["warning: the server's CVE feed is of 2026-08-21"]);
    assert_silent(&cron(&desk, &server, &[]));
}

#[test]
fn module_that_is_gone_or_changed_is_stored_again_and_told() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    cron(&desk, &server, &[]).expect(5, &[]);
    fs::remove_file(desk.module()).expect("it is there");
    let again = cron(&desk, &server, &[]);
    again.expect(5, &[]);
    assert!(again.stdout.contains("no verdict has changed since"), "{again:#?}");
    assert!(desk.module().exists());
    assert_silent(&cron(&desk, &server, &[]));
    fs::write(desk.module(), "another one").expect("written");
    cron(&desk, &server, &[]).expect(1, &["is there already, with another content"]);
    cron(&desk, &server, &["--force"]).expect(5, &[]);
    assert_silent(&cron(&desk, &server, &[]));
}

#[test]
fn damaged_state_is_taken_as_none() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    cron(&desk, &server, &[]).expect(5, &[]);
    for damage in ["", "{\"version\":", "\u{0}\u{1}", "[]"] {
        fs::write(state_file(&desk), damage).expect("written");
        let told = cron(&desk, &server, &[]);
        told.expect(5, &[]);
        assert!(told.stdout.starts_with("1 fixed live"), "{told:#?}");
        assert_silent(&cron(&desk, &server, &[]));
    }
}

#[test]
fn state_that_cannot_be_kept_is_no_failure() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    fs::write(desk.path().join("state"), "a file").expect("written");
    cron(&desk, &server, &[])
        .expect(5, &["warning: cannot remember this run in", "state-directory"]);
}

#[test]
fn clear_forgets_says_so_and_goes_on() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    cron(&desk, &server, &["--clear"])
        .expect(5, &["there is no last run for this kernel to forget"]);
    assert_silent(&cron(&desk, &server, &[]));
    let cleared = cron(&desk, &server, &["-l"]);
    cleared.expect(5, &["forgot what the last run for this kernel said"]);
    assert!(cleared.stdout.starts_with("1 fixed live"), "{cleared:#?}");
}

#[test]
fn questions_and_always_are_answered_each_time_and_failures_are_told() {
    let (desk, mut server) = (Desk::new(), Double::start(with(CveScript::finished())));
    cron(&desk, &server, &[]).expect(5, &[]);
    let url = server.url.clone();
    let line = ["cve", "--url", &url, "--kernel", RELEASE, "--output", "out"];
    for more in [&["--always"][..], &["--json"], &["--verdict", "no-fix"]] {
        let ended = desk.run(&[&line[..], more].concat());
        assert!(ended.code == Some(5) && !ended.stdout.is_empty(), "{ended:#?}");
    }
    let silent = desk.run(&[&line[..], &["--json", "--changes-only"]].concat());
    assert_silent(&silent);
    server.die();
    desk.run(&line).expect(4, &["error: cannot reach the server"]);
}

#[test]
fn other_kernels_and_selections_have_their_own_memory() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    cron(&desk, &server, &[]).expect(5, &[]);
    let line = ["cve", "--url", &server.url, "--kernel", RELEASE, "--output", "out"];
    let ended = desk.run(&[&line[..], &["--severity", "7"]].concat());
    ended.expect(5, &[]);
    assert!(!ended.stdout.contains("since"), "it is the first of its kind: {ended:#?}");
}

#[test]
fn somebody_at_a_terminal_is_always_told_and_sees_the_run() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::going_on())));
    cron(&desk, &server, &[]).expect(5, &[]);
    server.change(|script| script.cves.looked = 0);
    let program = env!("CARGO_BIN_EXE_elivepatch");
    let url = &server.url;
    let line = format!("{program} cve --url {url} --kernel {RELEASE} --output out");
    let mut at_terminal = std::process::Command::new("script");
    at_terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    at_terminal.current_dir(desk.path()).env("TERM", "xterm").env("NO_COLOR", "1");
    at_terminal.env("ELIVEPATCH_STATE_DIRECTORY", desk.path().join("state"));
    let output = at_terminal.stdin(std::process::Stdio::null()).output().expect("script runs");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(5), "{shown}");
    for part in [
        "trying each fix alone: 1 of 3",
        "3 to be tried, 1 has no fix yet, 1 waits for you",
        "CVE-2026-1001: compile",
        "1 fixed live, 2 need a reboot",
        "no verdict has changed since 2026-11-23 10:05 UTC",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in {shown}");
    }
    assert!(!shown.contains("\u{1b}[1m"), "NO_COLOR is honoured: {shown:?}");
}
