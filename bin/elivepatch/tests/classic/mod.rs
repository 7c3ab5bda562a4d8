//! The command line of the first elivepatch's client: one test for each option, and what scripts noticed of it.

mod conf_file;
mod old_name;

use std::{fs, io::Write, process::Command};

use crate::{
    cve,
    double::{CveScript, Desk, Double, MODULE, MODULE_NAME, RELEASE, success},
};

/// What the server was told of the kernel.
fn release_sent(server: &Double) -> String {
    let parts = server.seen().parts;
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    request["target"]["release"].as_str().expect("a release").to_owned()
}

/// A config of a Gentoo kernel.
fn gentoo(desk: &Desk) {
    let text = "# Linux/x86 5.1.6-gentoo Kernel Configuration\nCONFIG_X86_64=y\n\
                CONFIG_LOCALVERSION=\"-mine\"\n";
    desk.write("config_5.1.6", text.as_bytes());
}

#[test]
fn patch_and_config_make_a_livepatch() {
    for [patch, config] in [["-p", "-k"], ["--patch", "--config"]] {
        let (desk, server) = (Desk::new(), Double::start(success()));
        let line = [patch, "meminfo.patch", config, "config", "-u", &server.url];
        desk.run(&line).expect(0, &[&format!("kernel: {RELEASE}")]);
        assert_eq!(fs::read(desk.path().join(MODULE_NAME)).expect("the module"), MODULE);
    }
}

#[test]
fn config_may_be_compressed() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let plain = fs::read(desk.path().join("config")).expect("the config");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&plain).expect("memory");
    desk.write("config.gz", &packed.finish().expect("memory"));
    desk.run(&["-p", "meminfo.patch", "-k", "config.gz", "-u", &server.url]).expect(0, &[]);
    assert_eq!(server.seen().parts[1].2, plain, "it is sent uncompressed");
}

#[test]
fn kernel_version_is_that_of_the_source_or_the_release() {
    for (spelling, version, expected) in [
        ("-a", "5.1.6", "5.1.6-gentoo-mine"),
        ("--kernel_version", "5.1.6-gentoo", "5.1.6-gentoo-mine"),
        ("--kernel", "5.1.6-gentoo-mine", "5.1.6-gentoo-mine"),
        ("--kernel_version", "6.1.176-gentoo-r1", "6.1.176-gentoo-r1"),
    ] {
        let (desk, server) = (Desk::new(), Double::start(success()));
        gentoo(&desk);
        let line = ["-p", "meminfo.patch", "-k", "config_5.1.6", spelling, version];
        desk.run(&[&line[..], &["-u", &server.url]].concat());
        assert_eq!(release_sent(&server), expected, "{spelling} {version}");
    }
}

#[test]
fn url_may_have_a_scheme_or_none() {
    for spelling in ["-u", "--url"] {
        let (desk, server) = (Desk::new(), Double::start(success()));
        let bare = server.url.strip_prefix("http://").expect("not encrypted").to_owned();
        for url in [&server.url, &bare] {
            let line = ["-p", "meminfo.patch", "-k", "config", spelling, url, "--no-wait"];
            desk.run(&line).expect(0, &[]);
        }
    }
}

#[test]
fn cve_mode_needs_no_config() {
    for spelling in ["-e", "--cve"] {
        let (desk, server) = (Desk::new(), Double::start(cve::with(CveScript::finished())));
        let line = [spelling, "-a", RELEASE, "-u", &server.url, "--output", "out"];
        let ended = desk.run(&line);
        ended.expect(5, &["run 3 on"]);
        assert!(ended.stdout.starts_with("1 fixed live"), "{ended:#?}");
    }
}

#[test]
fn clear_forgets_what_the_last_run_said() {
    for spelling in ["-l", "--clear"] {
        let (desk, server) = (Desk::new(), Double::start(cve::with(CveScript::finished())));
        let line = ["-e", "-a", RELEASE, "-u", &server.url, "--output", "out"];
        let run = |more: &[&str]| {
            server.change(|script| script.cves.looked = 0);
            desk.run(&[&line[..], more].concat()).stdout
        };
        assert!(!run(&[]).is_empty());
        assert_eq!(run(&[]), "", "nothing is new");
        assert!(!run(&[spelling]).is_empty());
        desk.run(&[spelling, "-a", RELEASE]).expect(2, &["--clear is about CVEs", "--cve --clear"]);
        let build = Double::start(success());
        desk.build(&build.url, &[spelling, "--force"])
            .expect(0, &["warning: --clear is about CVEs"]);
    }
}

#[test]
fn debug_says_how_much_is_said() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let run = |more: &[&str]| {
        let again = success().connections;
        server.change(|script| script.connections = again);
        let ended = desk.build(&server.url, &[&["--force"], more].concat());
        ended.expect(0, &[]);
        ended.stderr
    };
    for (spelling, level) in [("-d", "debug"), ("--debug", "INFO"), ("-d", "1")] {
        assert!(run(&[spelling, level]).contains("CC fs/proc/meminfo.o"), "{spelling} {level}");
    }
    let usual = run(&["-d", "notice"]);
    assert!(usual.contains("kernel: ") && !usual.contains("CC fs/proc"), "{usual}");
    assert_eq!(run(&["-d", "warning"]), "");
    assert_eq!(run(&["-d", "error"]), "");
    let problem = desk.build("127.0.0.1:1", &["-d", "critical", "--give-up-after", "0"]);
    problem.expect(4, &["error: "]);
}

#[test]
fn log_output_has_all_that_is_said_with_its_time() {
    for spelling in ["-o", "--log_output"] {
        let (desk, server) = (Desk::new(), Double::start(success()));
        desk.write("e.log", b"of before\n");
        let ended = desk.build(&server.url, &[spelling, "e.log", "-d", "debug"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(ended.stdout.contains(MODULE_NAME), "data stays where it was: {ended:#?}");
        let failed = desk.run(&["-p", "none.patch", spelling, "e.log", "-u", &server.url]);
        failed.expect(1, &["error: cannot read"]);
        let log = fs::read_to_string(desk.path().join("e.log")).expect("the log");
        let mut lines = log.lines();
        assert_eq!(lines.next(), Some("of before"));
        for part in [
            "NOTICE  : kernel: 6.1.0-50",
            "NOTICE  : [ 5/11] compile: compile original and patched code …",
            "NOTICE  :     CC fs/proc/meminfo.o",
            "ERROR   : error: cannot read",
            "ERROR   : hint: ",
        ] {
            assert!(lines.clone().any(|line| line.contains(part)), "{part:?} is missing in {log}");
        }
        for line in lines {
            let time = line.split(": ").next().expect("a time");
            assert_eq!(time.split([' ', ':']).count(), 7, "{line:?}");
        }
    }
}

#[test]
fn log_that_cannot_be_written_is_named_before_anything_is_sent() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let ended = desk.build(&server.url, &["-o", "missing/e.log"]);
    ended.expect(1, &["error: cannot write the log missing/e.log", "hint: "]);
    assert_eq!(server.seen().parts.len(), 0);
}

#[test]
fn version_is_told() {
    for spelling in ["-v", "--version"] {
        let ended = Desk::new().run(&[spelling]);
        assert_eq!(ended.stdout, concat!("elivepatch ", env!("CARGO_PKG_VERSION"), "\n"));
        assert_eq!(ended.code, Some(0));
    }
}

#[test]
fn options_of_before_do_not_go_with_commands() {
    for option in [["-c", "x"], ["-d", "x"], ["-o", "x"]] {
        Desk::new().run(&[&option[..], &["status"]].concat()).expect(2, &["error: "]);
    }
}
