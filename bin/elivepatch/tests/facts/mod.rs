//! What is known of the running kernel, from `elivepatch facts` to the parts of a request.

use std::{fs, io::Read, os::unix::fs::PermissionsExt};

use elivepatch_model::{Failure, FailureClass, Sha256Digest};

use crate::double::{Desk, Double, MODULE_NAME, failing, manifest, refusal, success};

const BASELINE: &str = "--- a/Makefile\n+++ b/Makefile\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n";

const SYMBOLS: &str = "ffffffff9ae00000 T _text\nffffffff9ae00040 t start\n";

/// A Gentoo machine below `host`.
pub fn desk_with_host() -> Desk {
    let desk = Desk::new();
    let patches = "host/etc/portage/patches/sys-kernel/gentoo-sources";
    for (path, text) in [
        ("host/proc/sys/kernel/osrelease", "6.12.30-gentoo\n"),
        ("host/proc/sys/kernel/version", "#1 SMP\n"),
        (
            "host/proc/version",
            "Linux version 6.12.30-gentoo (a@b) (gcc (Gentoo 14.2.1) 14.2.1, GNU ld 2.44) #1 SMP\n",
        ),
        ("host/proc/kallsyms", SYMBOLS),
        ("host/proc/modules", "ext4 1 0 - Live 0x0\n"),
        ("host/etc/os-release", "ID=gentoo\n"),
        ("host/boot/config-6.12.30-gentoo", "CONFIG_X86_64=y\n"),
        (&format!("{patches}/20-b.patch"), BASELINE),
        (&format!("{patches}/10-a.patch"), BASELINE),
    ] {
        let path = desk.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    desk
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).expect("gzip");
    text
}

#[test]
fn saved_facts_order_a_livepatch_with_all_that_they_hold() {
    let desk = desk_with_host();
    let save = ["facts", "--root", "host", "--output", "host.facts.json"];
    let ended = desk.run(&save);
    ended.expect(0, &["saved: ./host.facts.json", "elivepatch build --facts host.facts.json"]);
    let mode = fs::metadata(desk.path().join("host.facts.json")).expect("a file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600, "others have no business with it");

    let server = Double::start(success());
    let line = ["build", "--facts", "host.facts.json", "--patch", "meminfo.patch", "--no-wait"];
    let ended = desk.run(&[&line[..], &["--url", &server.url]].concat());
    ended.expect(
        0,
        &[
            "kernel: 6.12.30-gentoo (from the facts host.facts.json)",
            "baseline: 2 patches of sys-kernel/gentoo-sources-6.12.30",
            "10-a.patch, 20-b.patch",
            "--no-baseline leaves them out",
        ],
    );
    let parts = server.seen().parts;
    let names: Vec<_> =
        parts.iter().map(|(name, file_name, _)| (name.as_str(), file_name.as_deref())).collect();
    assert_eq!(
        names,
        [
            ("request", None),
            ("config", None),
            ("kallsyms", None),
            ("baseline", Some("10-a.patch")),
            ("baseline", Some("20-b.patch")),
            ("patch", Some("meminfo.patch")),
        ]
    );
    assert_eq!(&parts[1].2[..], b"CONFIG_X86_64=y\n");
    assert_eq!(unpacked(&parts[2].2), "0 T _text\n40 t start\n", "no address leaves the machine");
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    let target = &request["target"];
    assert_eq!(target["release"], "6.12.30-gentoo");
    assert_eq!(target["compiler"], "gcc (Gentoo 14.2.1) 14.2.1");
    assert_eq!(target["linker"], "GNU ld 2.44");
    assert_eq!(target["kernel_version"], "#1 SMP");
    assert_eq!(target["machine"]["distribution"]["id"], "gentoo");
    assert_eq!(target["machine"]["loaded_modules"], serde_json::json!(["ext4"]));
}

#[test]
fn json_is_the_same_as_the_file_and_a_directory_gives_it_a_name() {
    let desk = desk_with_host();
    desk.run(&["facts", "--root", "host", "--output", "out"]).expect(0, &["saved: out/"]);
    assert_eq!(desk.results(), ["6.12.30-gentoo.facts.json"]);
    let printed = desk.run(&["facts", "--root", "host", "--json"]);
    printed.expect(0, &[]);
    let saved = fs::read_to_string(desk.path().join("out/6.12.30-gentoo.facts.json"));
    assert_eq!(printed.stdout, saved.expect("a file"));

    fs::remove_file(desk.path().join("host/boot/config-6.12.30-gentoo")).expect("own file");
    let printed = desk.run(&["facts", "--root", "host", "--json"]);
    printed.expect(0, &["warning: the facts hold no config", "--config FILE"]);
    assert!(printed.stdout.starts_with('{'), "{}", printed.stdout);
}

#[test]
fn other_file_is_kept_unless_forced_and_no_half_file_is_left() {
    let desk = desk_with_host();
    let line = ["facts", "--root", "host", "--output", "out/mine"];
    desk.run(&line).expect(0, &[]);
    let path = desk.path().join("out/mine");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("own file");
    desk.run(&line).expect(0, &["saved: out/mine"]);
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "an equal file is closed, too");
    fs::write(desk.path().join("out/mine"), "mine").expect("a file");
    desk.run(&line).expect(1, &["out/mine is there already", "--force"]);
    assert_eq!(fs::read(desk.path().join("out/mine")).expect("a file"), b"mine");
    desk.run(&[&line[..], &["--force"]].concat()).expect(0, &[]);
    assert_eq!(desk.results(), ["mine"]);
    desk.run(&["facts", "--root", "host", "--output", "nowhere/x"])
        .expect(1, &["the directory nowhere does not exist"]);
}

#[test]
fn command_line_names_the_baseline_instead_or_none() {
    let desk = desk_with_host();
    desk.run(&["facts", "--root", "host", "--output", "h.json"]).expect(0, &[]);
    fs::create_dir(desk.path().join("mine")).expect("a directory");
    fs::write(desk.path().join("mine/b.patch"), BASELINE).expect("a file");
    fs::write(desk.path().join("mine/a.diff"), BASELINE).expect("a file");
    fs::write(desk.path().join("mine/off.patch"), "").expect("a file");
    for (more, expected) in [
        (&["--no-baseline"][..], &[][..]),
        (&["--baseline", "mine"], &["a.diff", "b.patch"]),
        (&["--baseline", "mine/b.patch", "--baseline", "mine"], &["b.patch", "a.diff", "b.patch"]),
    ] {
        let server = Double::start(success());
        let line = ["build", "--facts", "h.json", "--patch", "meminfo.patch", "--no-wait", "--url"];
        desk.run(&[&line[..], &[&server.url], more].concat()).expect(0, &[]);
        let parts = server.seen().parts;
        let baseline = parts.iter().filter(|(name, ..)| name == "baseline");
        let names: Vec<&str> =
            baseline.map(|(_, name, _)| name.as_deref().expect("a name")).collect();
        assert_eq!(names, expected, "{more:?}");
    }
}

#[test]
fn baseline_of_a_kernel_that_is_not_this_machines_is_sent_as_named() {
    let (desk, server) = (desk_with_host(), Double::start(success()));
    fs::write(desk.path().join("own.patch"), BASELINE).expect("a file");
    let ended = desk.build(&server.url, &["--baseline", "own.patch"]);
    ended.expect(0, &["baseline: 1 patch from own.patch"]);
    let parts = server.seen().parts;
    let names: Vec<_> = parts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["request", "config", "baseline", "patch"]);
    assert_eq!(&parts[2].2[..], BASELINE.as_bytes());
}

#[test]
fn unproven_livepatch_is_asked_for_by_name_and_a_refusal_says_who_can_allow_it() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    desk.build(&server.url, &["--accept-unproven"]).expect(0, &[]);
    let parts = server.seen().parts;
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    assert_eq!(request["options"], serde_json::json!({"accept_unproven": true}));

    let class = FailureClass::UnprovenNotAllowed;
    let failure = Failure::new(class, "not allowed here", "set allow_unproven");
    let mut script = failing(failure.clone());
    script.refusal = Some((422, refusal(failure)));
    let (desk, server) = (Desk::new(), Double::start(script));
    desk.build(&server.url, &["--accept-unproven"])
        .expect(1, &["not allowed here (unproven-not-allowed)", "hint: set allow_unproven"]);
}

#[test]
fn rebuild_sends_what_the_server_may_not_have_any_more_and_only_what_the_manifest_names() {
    let desk = desk_with_host();
    desk.run(&["facts", "--root", "host", "--output", "h.json"]).expect(0, &[]);
    let mut then = manifest();
    let request = then.request.as_mut().expect("a request");
    request.baseline = vec![elivepatch_model::PatchRecord {
        name: "10-a.patch".to_owned(),
        digest: Sha256Digest::of(BASELINE.as_bytes()),
    }];
    let path = desk.path().join("out").join(format!("{MODULE_NAME}.manifest.json"));
    fs::write(&path, serde_json::to_vec(&then).expect("JSON")).expect("a file");
    fs::write(desk.path().join("out/other.patch"), BASELINE.replace("TWO", "2")).expect("a file");
    let manifest_path = path.to_str().expect("UTF-8");
    let send = |more: &[&str]| {
        let server = Double::start(success());
        desk.run(&[&["rebuild", manifest_path, "--url", &server.url], more].concat());
        let parts = server.seen().parts;
        parts.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(send(&[]), "request");
    assert_eq!(send(&["--facts", "h.json"]), "request config kallsyms baseline baseline");
    assert_eq!(send(&["--baseline", "out/other.patch"]), "request baseline");
    then.request.as_mut().expect("a request").baseline.clear();
    fs::write(&path, serde_json::to_vec(&then).expect("JSON")).expect("a file");
    assert_eq!(send(&["--facts", "h.json"]), "request config kallsyms");
}
