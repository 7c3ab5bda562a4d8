//! The client from the command line to the stored module, against a test double of the server.

mod built;
mod classic;
mod cve;
mod double;
mod facts;
mod live;
mod rebuild;
mod show;
mod signed;

use std::fs;

use elivepatch_model::{
    Adaptation, AdaptationKind, BaseKind, BuildState, Engine, Failure, FailureClass, FitRecord,
    Manifest, PatchedFunction, ReplacedLivepatch, Sha256Digest, StepName,
};

use crate::double::{
    Connection, Desk, Double, MODULE, MODULE_NAME, RELEASE, events, failing, manifest, refusal,
    success,
};

#[test]
fn classic_form_stores_module_and_manifest() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let ended = desk.build(&server.url, &[]);
    ended.expect(
        0,
        &[
            "kernel: 6.1.0-50-cloud-amd64 (from CONFIG_BUILD_SALT; config config)",
            "[ 1/11] source: fetch the kernel's packages … done in 1.5 s: linux 6.1.176-1\n",
            "[ 5/11] compile: compile original and patched code … done in 1.5 s: 1 file\n",
        ],
    );
    assert!(!ended.stderr.contains("CC fs/proc"), "{ended:#?}");
    for part in
        ["meminfo_proc_show (vmlinux)", "VMALLOCCHUNK: 0 kB", "sudo elivepatch apply", RELEASE]
    {
        assert!(ended.stdout.contains(part), "{part:?} is missing in {ended:#?}");
    }
    assert_eq!(fs::read(desk.module()).expect("the module"), MODULE);
    let manifest_name = format!("{MODULE_NAME}.manifest.json");
    assert_eq!(desk.results(), [MODULE_NAME, &manifest_name]);
    let text = fs::read(desk.path().join("out").join(manifest_name)).expect("the manifest");
    assert_eq!(serde_json::from_slice::<Manifest>(&text).expect("a manifest"), manifest());

    let parts = server.seen().parts;
    let names: Vec<_> =
        parts.iter().map(|(name, file_name, _)| (name.as_str(), file_name.as_deref())).collect();
    assert_eq!(names, [("request", None), ("config", None), ("patch", Some("meminfo.patch"))]);
    assert_eq!(parts[1].2, fs::read(desk.path().join("config")).expect("the config"));
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    assert_eq!(request["target"]["release"], RELEASE);
    assert_eq!(request["target"].get("build_id"), None, "the config is not this machine's");
    assert_eq!(request.get("options"), None, "servers of the version before know no options");
}

#[test]
fn switches_are_sent_with_the_classic_form_too() {
    let desk = Desk::new();
    let switches = ["--without", "line-numbers,removed-file", "--without", "syscall-define"];
    for engine in ["kpatch", "klp-build"] {
        let server = Double::start(success());
        let switches = [&switches[..], &["--engine", engine, "--force"]].concat();
        desk.build(&server.url, &switches).expect(0, &[]);
        let parts = server.seen().parts;
        let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
        assert_eq!(
            request["options"],
            serde_json::json!({
                "without": ["line-numbers", "syscall-define", "removed-file"], "engine": engine
            })
        );
    }
    let server = Double::start(success());
    desk.build(&server.url, &["--without", "everything"])
        .expect(2, &["outside-kernel, line-numbers, syscall-define"]);
}

#[test]
fn report_tells_adaptations_engine_base_modules_and_what_it_replaces() {
    let mut now = manifest();
    now.adaptations = vec![Adaptation {
        kind: AdaptationKind::RemovedFile,
        fix: "meminfo.patch".to_owned(),
        file: "fs/proc/meminfo.c".to_owned(),
        detail: "kept: its code stays in the running kernel".to_owned(),
    }];
    now.base = BaseKind::Built;
    now.engine = Engine::KlpBuild;
    let second =
        PatchedFunction { object: "xfs".to_owned(), name: "xfs_file_open".to_owned(), position: 1 };
    now.functions.push(second);
    now.trial.modules_loaded = vec!["xfs".to_owned()];
    now.trial.modules_absent = vec!["kvm: no such device".to_owned()];
    now.trial.replaced = Some(ReplacedLivepatch {
        name: "livepatch_before".to_owned(),
        digest: Sha256Digest::of(b"before"),
        transition_seconds: 1.5,
        looks: 9000,
    });
    now.fit = Some(FitRecord {
        not_proven: vec!["nobody has sent /proc/kallsyms".to_owned()],
        accepted_unproven: true,
        ..FitRecord::default()
    });
    let mut script = success();
    script.manifest = serde_json::to_string(&now).expect("plain data");
    script.build.manifest = Some(now);
    let (desk, server) = (Desk::new(), Double::start(script));
    let ended = desk.build(&server.url, &["--accept-unproven"]);
    ended.expect(0, &[]);
    let shown = desk.run(&["show", "7", "--url", &server.url]);
    for part in [
        "fs/proc/meminfo.c: kept: its code stays in the running kernel",
        "--without removed-file switches it off",
        "klp-build",
        "the server built this kernel itself",
        "not proven: nobody has sent /proc/kallsyms",
        "made all the same, as the request asks for",
        "xfs_file_open (xfs)",
        "the changes to kvm: no such device",
        "livepatch_before",
        "in the trial: transition 1.5 s, never without one of the two",
    ] {
        assert!(ended.stdout.contains(part), "{part:?} is missing in {ended:#?}");
        assert!(shown.stdout.contains(part), "{part:?} is missing in {shown:#?}");
    }
}

#[test]
fn no_argument_at_all_shows_the_help() {
    Desk::new().run(&[]).expect(2, &["Usage: elivepatch [OPTIONS]", "Exit codes:"]);
    let output = Desk::new().command(&[]).env("ELIVEPATCH_URL", "127.0.0.1:1").output();
    let output = output.expect("the client runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: elivepatch [OPTIONS]"));
}

#[test]
fn json_is_all_that_is_on_standard_output() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let ended = desk.build(&server.url, &["--json", "--verbose"]);
    ended.expect(0, &["    CC fs/proc/meminfo.o"]);
    let outcome: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(outcome["build"], 7);
    assert_eq!(outcome["state"], "succeeded");
    assert_eq!(outcome["module"], format!("out/{MODULE_NAME}"));
    assert_eq!(outcome["manifest"]["release"], RELEASE);
}

#[test]
fn dropped_connection_is_resumed_where_it_broke_and_said_once() {
    let desk = Desk::new();
    let mut all = events(BuildState::Succeeded, None);
    let rest = all.split_off(4);
    let mut script = success();
    script.connections = [Connection::Cuts(all), Connection::Closes(rest)].into();
    let server = Double::start(script);
    let ended = desk.build(&server.url, &[]);
    ended.expect(0, &["lost the connection", "the server is back"]);
    assert_eq!(ended.stderr.matches("lost the connection").count(), 1, "{ended:#?}");
    assert_eq!(ended.stderr.matches("source: fetch").count(), 1, "{ended:#?}");
    assert_eq!(server.seen().last_event_ids, [None, Some("4".to_owned())]);
    assert_eq!(desk.results().len(), 2);
}

#[test]
fn download_that_breaks_off_is_begun_again() {
    let desk = Desk::new();
    let mut script = success();
    script.module_cuts = 1;
    let server = Double::start(script);
    desk.build(&server.url, &[]).expect(0, &[]);
    assert_eq!(fs::read(desk.module()).expect("the module"), MODULE);

    let desk = Desk::new();
    let mut script = success();
    script.module_cuts = usize::MAX;
    let server = Double::start(script);
    desk.build(&server.url, &["--give-up-after", "0"])
        .expect(4, &["lost the connection", "build 7 is there; get it with: elivepatch build"]);
    assert!(desk.results().is_empty());
}

#[test]
fn server_that_stays_away_ends_the_client_with_how_to_go_on() {
    let desk = Desk::new();
    let mut script = success();
    let begun = events(BuildState::Succeeded, None)[..3].to_vec();
    script.connections = [Connection::Hangs(begun)].into();
    let mut server = Double::start(script);
    let running = desk.start_until(&server.url, &["--give-up-after", "1"], "[ 1/11]");
    server.die();
    let follow = format!("elivepatch build --url {} --follow 7", server.url);
    running.end().expect(4, &["error: cannot reach the server", &follow]);
    assert!(desk.results().is_empty());
}

#[test]
fn ctrl_c_leaves_the_build_and_says_how_to_follow_and_cancel() {
    let desk = Desk::new();
    let mut script = success();
    let begun = events(BuildState::Succeeded, None)[..3].to_vec();
    script.connections = [Connection::Hangs(begun)].into();
    let server = Double::start(script);
    let running = desk.start_until(&server.url, &[], "[ 1/11]");
    let process = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    let follow = format!("elivepatch build --url {} --follow 7", server.url);
    let cancel = format!("elivepatch cancel --url {} 7", server.url);
    running.end().expect(130, &["interrupted; build 7 goes on", &follow, &cancel]);
    assert!(desk.results().is_empty());
}

#[test]
fn earlier_build_is_followed_without_config_or_patch() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let ended =
        desk.run(&["build", "--url", &server.url, "--follow", "7", "--output", "out/my.ko"]);
    ended.expect(0, &["[ 1/11] source"]);
    assert!(server.seen().parts.is_empty());
    assert_eq!(desk.results(), ["my.ko", "my.ko.manifest.json"]);
}

#[test]
fn no_wait_prints_the_number_and_how_to_go_on() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let line = ["build", "-k", "config", "-p", "meminfo.patch", "-u", &server.url, "--no-wait"];
    let ended = desk.run(&line);
    ended.expect(0, &["--follow 7"]);
    assert_eq!(ended.stdout, "7\n");
    assert!(server.seen().last_event_ids.is_empty());
}

#[test]
fn module_with_another_digest_is_refused_and_nothing_is_left() {
    for module in [&b"\x7fELF b livepatch"[..], b"short", b"\x7fELF a livepatch and more"] {
        let desk = Desk::new();
        let mut script = success();
        script.module = module.to_vec();
        let server = Double::start(script);
        desk.build(&server.url, &[]).expect(4, &["not what its manifest says", "hint: nothing"]);
        assert!(desk.results().is_empty());
    }
}

#[test]
fn livepatch_with_other_patches_than_were_sent_is_refused() {
    let desk = Desk::new();
    let mut script = success();
    let mut other = manifest();
    other.fixes[0].digest = elivepatch_model::Sha256Digest::of(b"another patch");
    script.manifest = serde_json::to_string(&other).expect("plain data");
    let server = Double::start(script);
    desk.build(&server.url, &[]).expect(4, &["is not what was ordered: it holds other patches"]);
    assert!(desk.results().is_empty());
}

#[test]
fn name_that_is_no_module_name_is_refused() {
    let desk = Desk::new();
    let mut script = success();
    script.manifest = script.manifest.replace("\"livepatch_meminfo\"", "\"a; reboot\"");
    let server = Double::start(script);
    desk.build(&server.url, &[]).expect(4, &["\"a; reboot\" is not the name of a kernel module"]);
    assert!(desk.results().is_empty());
}

#[test]
fn build_is_said_to_wait_only_while_it_does() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let ended = desk.build(&server.url, &[]);
    ended.expect(0, &[]);
    assert!(!ended.stderr.contains("waiting for a worker"), "{ended:#?}");

    let mut script = success();
    let queued = events(BuildState::Succeeded, None)[..1].to_vec();
    script.connections = [Connection::Hangs(queued)].into();
    let mut server = Double::start(script);
    let running = desk.start_until(&server.url, &["--give-up-after", "0"], "waiting for a worker");
    server.die();
    running.end().expect(4, &["the build may go on there"]);
}

#[test]
fn manifest_of_another_build_is_refused() {
    let desk = Desk::new();
    let mut script = success();
    script.manifest = script.manifest.replace(RELEASE, "6.1.0-49-cloud-amd64");
    let server = Double::start(script);
    desk.build(&server.url, &[]).expect(4, &["the manifest of another build"]);
    assert!(desk.results().is_empty());
}

#[test]
fn file_name_of_the_manifest_cannot_leave_the_directory() {
    let desk = Desk::new();
    let mut script = success();
    script.manifest = script.manifest.replace(MODULE_NAME, "../../escaped.ko");
    let server = Double::start(script);
    desk.build(&server.url, &[]).expect(0, &[]);
    assert_eq!(desk.results(), ["escaped.ko", "escaped.ko.manifest.json"]);
}

#[test]
fn same_file_is_fine_and_another_is_replaced_only_by_force() {
    let desk = Desk::new();
    let build = |more: &[&str]| {
        let server = Double::start(success());
        desk.build(&server.url, more)
    };
    build(&[]).expect(0, &[]);
    build(&[]).expect(0, &[]);
    fs::write(desk.module(), "mine").expect("a file");
    build(&[]).expect(1, &["is there already, with another content", "--force", "--follow 7"]);
    assert_eq!(fs::read(desk.module()).expect("a file"), b"mine");
    build(&["--force"]).expect(0, &[]);
    assert_eq!(fs::read(desk.module()).expect("a file"), MODULE);
}

#[test]
fn failed_build_shows_class_step_details_and_hint() {
    let desk = Desk::new();
    let failure = Failure::new(FailureClass::CompileFailed, "the patch does not compile", "fix it")
        .in_step(StepName::Compile)
        .with_details(["meminfo.patch:12: error: 'x' undeclared".to_owned()]);
    let server = Double::start(failing(failure));
    let ended = desk.build(&server.url, &["--json"]);
    ended.expect(
        3,
        &[
            "[ 5/11] compile: compile original and patched code … failed after 1.5 s",
            "error: build 7 failed in step compile: the patch does not compile (compile-failed)\n",
            "  meminfo.patch:12: error: 'x' undeclared\n",
            "hint: fix it\n",
        ],
    );
    let outcome: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(outcome["failure"]["class"], "compile-failed");
    assert!(desk.results().is_empty());
}

#[test]
fn cancelled_build_is_no_success() {
    let desk = Desk::new();
    let mut script = success();
    script.build.state = BuildState::Cancelled;
    script.connections = [Connection::Closes(events(BuildState::Cancelled, None))].into();
    let server = Double::start(script);
    desk.build(&server.url, &[])
        .expect(3, &["error: build 7 is cancelled\n", "run the same command again\n"]);
}

#[test]
fn refused_request_ends_by_whose_fault_it_is() {
    for (class, code) in [
        (FailureClass::ConfigUnsupported, 1),
        (FailureClass::CodeNotBuilt, 3),
        (FailureClass::DiskFull, 4),
    ] {
        let desk = Desk::new();
        let mut script = success();
        let failure = Failure::new(class, "CONFIG_RANDSTRUCT is on", "use another kernel");
        script.refusal = Some((422, refusal(failure)));
        let server = Double::start(script);
        let line = format!("error: the request was refused: CONFIG_RANDSTRUCT is on ({class})\n");
        desk.build(&server.url, &[]).expect(code, &[&line, "hint: use another kernel\n"]);
    }
}

#[test]
fn file_that_cannot_be_written_to_its_end_is_named_and_nothing_is_left() {
    // A limit on the size of files is the nearest thing to a full disk that needs no root: writing
    // beyond it fails in the middle of a file, too.
    let desk = Desk::new();
    let mut script = success();
    let module = vec![b'x'; 4 * 1024 * 1024];
    let mut manifest = manifest();
    manifest.module.digest = elivepatch_model::Sha256Digest::of(&module);
    manifest.module.size_bytes = module.len() as u64;
    script.manifest = serde_json::to_string(&manifest).expect("plain data");
    script.module = module;
    let server = Double::start(script);
    let program = env!("CARGO_BIN_EXE_elivepatch");
    let line = format!(
        "ulimit -f 8; trap '' XFSZ; exec {program} -k config -p meminfo.patch -u {} --output out",
        server.url
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &line])
        .current_dir(desk.path())
        .output()
        .expect("a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: cannot write out/livepatch-meminfo.ko"), "{stderr}");
    assert!(stderr.contains("caused by: File too large"), "{stderr}");
    assert!(desk.results().is_empty());
}

#[test]
fn reader_that_goes_away_is_no_error_and_a_full_output_is_one() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let arguments = ["show", "7", "--url", &server.url];
    let mut child = desk.command(&arguments).spawn().expect("the client starts");
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));

    let full =
        fs::OpenOptions::new().write(true).open("/dev/full").expect("the kernel's full disk");
    let output = desk.command(&arguments).stdout(full).output().expect("the client runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("caused by: No space left on device"), "{stderr}");
}

#[test]
fn builds_are_listed_shown_and_cancelled() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let listed = desk.run(&["builds", "--url", &server.url]);
    listed.expect(0, &[]);
    assert!(listed.stdout.contains("meminfo.patch"), "{listed:#?}");
    let listed = desk.run(&["builds", "--url", &server.url, "--json", "--state", "succeeded"]);
    let list: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
    assert_eq!(list["builds"][0]["number"], 7);
    let shown = desk.run(&["show", "7", "--url", &server.url]);
    shown.expect(0, &[]);
    assert!(shown.stdout.contains("meminfo_proc_show (vmlinux)"), "{shown:#?}");
    desk.run(&["show", "8", "--url", &server.url])
        .expect(1, &["error: there is no build 8\n", "hint: elivepatch builds\n"]);
    desk.run(&["cancel", "7", "--url", &server.url]).expect(0, &["build 7 is succeeded"]);
}
