//! The report as HTML and as OpenVEX.

use std::{fs, process::Command};

use serde_json::Value;

use super::*;

#[test]
fn reports_are_written_and_only_own_ones_are_replaced() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let files = ["--html", "out/report.html", "--openvex", "out/report.vex.json"];
    for _ in 0..2 {
        let ended = cve(&desk, &server, &files);
        ended.expect(5, &["report: ", "OpenVEX document: "]);
    }
    let vex = fs::read_to_string(desk.path().join("out/report.vex.json")).expect("text");
    let vex: Value = serde_json::from_str(&vex).expect("JSON");
    assert_eq!(vex["statements"][0]["status"], "fixed");
    let notes = vex["statements"][0]["status_notes"].as_str().expect("a text");
    assert!(notes.contains("livepatch_meminfo (sha256 "), "{notes}");
    assert_eq!(
        vex["statements"][0]["products"][0]["@id"],
        format!("pkg:generic/linux@6.1.176?arch=x86_64&release={RELEASE}")
    );
    fs::write(desk.path().join("out/report.html"), "my letters").expect("written");
    let refused = cve(&desk, &server, &files);
    refused.expect(1, &["out/report.html is there already, and is no report of elivepatch"]);
    assert_eq!(fs::read(desk.path().join("out/report.html")).expect("bytes"), b"my letters");
    cve(&desk, &server, &[&files[..], &["--force"]].concat()).expect(5, &[]);
}

#[test]
fn two_reports_need_two_files() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let files = ["--html", "out/report", "--openvex", "./out/../out/report"];
    // What is not there yet is compared as it is written; what is there, by what it is.
    fs::write(desk.path().join("out/report"), "").expect("written");
    let ended = cve(&desk, &server, &[&files[..], &["--force"]].concat());
    ended.expect(2, &["--html and --openvex name the same file"]);
}

#[test]
fn dry_run_writes_reports_without_a_fixed_candidate() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let line = ["cve", "--dry-run", "--url", &server.url, "--kernel", RELEASE, "--html"];
    let files = ["out/a.html", "--openvex", "out/a.json"];
    desk.run(&[&line[..], &files].concat()).expect(0, &[]);
    let page = fs::read_to_string(desk.path().join("out/a.html")).expect("text");
    assert!(page.contains("Nothing was tried yet."));
    let vex = fs::read_to_string(desk.path().join("out/a.json")).expect("text");
    let vex: Value = serde_json::from_str(&vex).expect("JSON");
    let statuses: Vec<_> =
        vex["statements"].as_array().expect("a list").iter().map(|s| &s["status"]).collect();
    let affected = "affected";
    assert_eq!(statuses, [affected, affected, affected, affected, affected, "not_affected"]);
}

#[test]
fn reports_are_written_from_cron_also_when_nothing_is_new() {
    let (desk, server) = (Desk::new(), Double::start(with(CveScript::finished())));
    let line = ["cve", "--url", &server.url, "--kernel", RELEASE, "--output", "out"];
    let line = [&line[..], &["--html", "out/report.html"]].concat();
    desk.run(&line).expect(5, &[]);
    fs::remove_file(desk.path().join("out/report.html")).expect("it is there");
    let silent = desk.run(&line);
    assert_eq!((silent.code, silent.stdout.as_str(), silent.stderr.as_str()), (Some(0), "", ""));
    assert!(desk.path().join("out/report.html").exists());
}

/// What a real browser makes of the page. The browser is installed by scripts/install-dependencies.sh.
#[test]
fn browser_shows_hostile_text_as_text_and_runs_no_script() {
    let Ok(found) = Command::new("chromium").arg("--version").output() else {
        assert!(std::env::var_os("CI").is_none(), "chromium is not installed");
        eprintln!("skipped: chromium is not installed");
        return;
    };
    assert!(found.status.success());
    let hostile = "</td><script>document.title = 'taken'</script><b id='taken'>x";
    let script = CveScript::finished().with(|run| {
        run.cves[1].title = hostile.to_owned();
        run.grounds.version_origin = hostile.to_owned();
        run.grounds.feed_is_stale = true;
    });
    let (desk, server) = (Desk::new(), Double::start(with(script)));
    cve(&desk, &server, &["--html", "out/report.html"]).expect(5, &[]);
    let page = desk.path().join("out/report.html");
    let profile = format!("--user-data-dir={}", desk.path().join("profile").display());
    let output = Command::new("timeout")
        .args([
            "120",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            &profile,
            "--dump-dom",
        ])
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium runs");
    let dom = String::from_utf8(output.stdout).expect("text");
    assert!(dom.contains("<title>CVEs of Linux 6.1.0-50-cloud-amd64</title>"), "{dom}");
    assert!(dom.contains("&lt;/td&gt;&lt;script&gt;document.title"), "{dom}");
    assert!(!dom.contains("<script") && !dom.contains("id=\"taken\""), "{dom}");
    assert_eq!(dom.matches("<svg").count(), 2 + 4, "two charts and a legend of four");
    assert!(dom.contains("newer CVEs are not in this"));
    assert!(dom.trim_end().ends_with("</html>"), "the page is whole");
}
