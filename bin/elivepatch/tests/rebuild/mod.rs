//! `elivepatch rebuild` against a test double of the server.

use std::fs;

use elivepatch_model::{BuildState, Failure, FailureClass, Manifest, RebuildOf, Sha256Digest};

use crate::double::{
    BUILDER, Connection, Desk, Double, Ended, MODULE, MODULE_NAME, Script, events, failing,
    manifest, refusal, success,
};

/// The name of the manifest's file.
fn manifest_name() -> String {
    format!("{MODULE_NAME}.manifest.json")
}

/// Has the livepatch of `then` rebuilt by a server with this script.
fn rebuild(then: &Manifest, script: Script, more: &[&str]) -> (Desk, Double, Ended) {
    let (desk, server) = (Desk::new(), Double::start(script));
    let text = serde_json::to_string(then).expect("plain data");
    fs::write(desk.path().join(manifest_name()), text).expect("a file");
    let name = manifest_name();
    let line = [&["rebuild", &name, "--url", &server.url][..], more].concat();
    let ended = desk.run(&line);
    (desk, server, ended)
}

fn changed(change: impl Fn(&mut Manifest)) -> Script {
    let mut now = manifest();
    change(&mut now);
    let mut script = success();
    script.manifest = serde_json::to_string(&now).expect("plain data");
    script
}

#[test]
fn same_bytes_are_identical_and_nothing_is_stored() {
    let (desk, server, ended) = rebuild(&manifest(), success(), &["meminfo.patch", "-k", "config"]);
    ended.expect(0, &["build 7 on http://", ": a rebuild"]);
    for part in [
        "rebuild: identical\n",
        &Sha256Digest::of(MODULE).to_string(),
        "from debian 6.1.176-1 with debian-12-gcc-12",
    ] {
        assert!(ended.stdout.contains(part), "{part:?} is missing in {ended:#?}");
    }
    assert!(desk.results().is_empty());
    assert!(!desk.path().join(MODULE_NAME).exists());
    let parts = server.seen().parts;
    let names: Vec<&str> = parts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["request", "config", "patch"]);
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    assert_eq!(request["build_key"], manifest().build_key.to_string());
    assert_eq!(request["rebuild"]["module"], Sha256Digest::of(MODULE).to_string());
    assert_eq!(request["rebuild"]["anyway"], false);
}

#[test]
fn other_bytes_exit_with_3_and_the_differences_that_explain_them() {
    let mut then = manifest();
    then.module.digest = Sha256Digest::of(b"another module");
    let script = changed(|now| {
        now.toolchain.digest = Sha256Digest::of(b"other packages");
        now.functions[0].name = "other_function".to_owned();
    });
    let (.., ended) = rebuild(&then, script, &[]);
    ended.expect(3, &[]);
    for part in [
        "rebuild: different\n",
        "packages of the toolchain root: ",
        "functions: vmlinux:meminfo_proc_show,0, now vmlinux:other_function,0",
    ] {
        assert!(ended.stdout.contains(part), "{part:?} is missing in {ended:#?}");
    }
    let (.., unexplained) = rebuild(&then, success(), &["--json"]);
    unexplained.expect(3, &[]);
    let outcome: serde_json::Value = serde_json::from_str(&unexplained.stdout).expect("JSON");
    assert_eq!(outcome["identical"], false);
    assert_eq!(outcome["differences"], serde_json::json!([]));
    assert_eq!(outcome["state"], serde_json::json!(BuildState::Succeeded));
}

#[test]
fn server_that_only_claims_the_same_bytes_is_not_believed() {
    let mut script = success();
    script.module = b"\x7fELF something else".to_vec();
    script.module.truncate(MODULE.len());
    let (.., ended) = rebuild(&manifest(), script, &[]);
    ended.expect(4, &["the module is not what its manifest says"]);
    assert!(!ended.stdout.contains("identical"), "{ended:#?}");
}

#[test]
fn other_builder_is_said_before_anything_is_built() {
    for (builder, part) in [
        ("0.2.0 kpatch debian-12-gcc-12 abc", "version of the builder: 0.1.0, now 0.2.0"),
        ("0.1.0 kpatch debian-12-gcc-12 zzz", "recipe of the toolchain root debian-12-gcc-12: abc"),
        ("", "version of the builder: 0.1.0, now "),
    ] {
        let other = || {
            let mut script = success();
            script.builder = builder.to_owned();
            script
        };
        let (_, server, ended) = rebuild(&manifest(), other(), &[]);
        ended.expect(3, &[part, "hint: ", "--anyway"]);
        assert!(server.seen().parts.is_empty(), "something was sent");
        let (.., anyway) = rebuild(&manifest(), other(), &["--anyway"]);
        anyway.expect(0, &["warning: the server's builder is another one: ", part]);
    }
    let (_, server, ended) = {
        let mut script = success();
        script.builder = format!("{BUILDER} debian-13-gcc-14 def");
        rebuild(&manifest(), script, &[])
    };
    ended.expect(0, &[]);
    assert_eq!(server.seen().parts.len(), 1, "a recipe that this livepatch does not need");
}

#[test]
fn module_that_is_not_the_manifests_is_named_before_anything_is_sent() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let text = serde_json::to_string(&manifest()).expect("plain data");
    fs::write(desk.path().join(manifest_name()), text).expect("a file");
    fs::write(desk.path().join(MODULE_NAME), b"changed").expect("a file");
    let name = manifest_name();
    let line = ["rebuild", &name, "--url", &server.url];
    desk.run(&line).expect(1, &["is not the module of the manifest", "hint: do not load it"]);
    assert!(server.seen().parts.is_empty());
    fs::write(desk.path().join(MODULE_NAME), MODULE).expect("a file");
    let ended = desk.run(&line);
    ended.expect(0, &[]);
    assert!(ended.stdout.contains("is the module of the manifest"), "{ended:#?}");
}

#[test]
fn faulty_manifests_are_told_apart() {
    let mut old = manifest();
    old.request = None;
    let (.., ended) = rebuild(&old, success(), &[]);
    ended.expect(1, &["does not say what its livepatch was built for", "hint: "]);
    let desk = Desk::new();
    desk.run(&["rebuild", "config", "--url", "127.0.0.1:1"])
        .expect(1, &["cannot read the manifest config", "caused by: "]);
    desk.run(&["rebuild", "nothing", "--url", "127.0.0.1:1"])
        .expect(1, &["cannot read the manifest nothing", "No such file"]);
}

#[test]
fn rebuild_that_fails_says_why() {
    let failure = Failure::new(
        FailureClass::RebuildDiffers,
        "the toolchain root debian-12-gcc-12 has other packages",
        "rebuild on a server that has the same",
    );
    let (.., ended) = rebuild(&manifest(), failing(failure), &[]);
    ended.expect(3, &["(rebuild-differs)", "other packages", "hint: rebuild on a server"]);
    assert!(ended.stdout.is_empty());
}

#[test]
fn text_that_is_not_the_manifests_is_no_bug() {
    let failure = Failure::new(
        FailureClass::ManifestMismatch,
        "the config is not the manifest's",
        "give the config that the livepatch was built for",
    );
    let mut script = success();
    script.refusal = Some((422, refusal(failure)));
    let (.., ended) = rebuild(&manifest(), script, &["-k", "config"]);
    let line = "the request was refused: the config is not the manifest's (manifest-mismatch)\n";
    ended.expect(1, &[line, "hint: give the config that the livepatch was built for\n"]);
}

/// A build that is a rebuild of `then`.
fn rebuilding(then: &Manifest) -> Script {
    let mut script = success();
    script.build.key = then.build_key;
    script.build.rebuild = Some(RebuildOf::of(then, false));
    script
}

#[test]
fn ctrl_c_leaves_the_rebuild_and_the_command_it_names_compares_the_modules() {
    let then = manifest();
    let mut script = rebuilding(&then);
    let begun = events(BuildState::Succeeded, None)[..3].to_vec();
    script.connections.push_front(Connection::Hangs(begun));
    let (desk, server) = (Desk::new(), Double::start(script));
    let text = serde_json::to_string(&then).expect("plain data");
    fs::write(desk.path().join(manifest_name()), text).expect("a file");
    let line = ["rebuild", &manifest_name(), "--url", &server.url];
    let running = desk.start_line_until(&line, "[ 1/11]");
    let process = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    let (url, name) = (&server.url, manifest_name());
    let follow = format!("hint: follow it with: elivepatch rebuild --url {url} --follow 7 {name}");
    running.end().expect(130, &["interrupted; build 7 goes on", &follow]);
    assert!(!server.seen().parts.is_empty());
    let ended = desk.run(&["rebuild", "--url", url, "--follow", "7", &name]);
    ended.expect(0, &["[ 1/11] source"]);
    assert!(ended.stdout.starts_with("rebuild: identical\n"), "{}", ended.stdout);
    assert!(server.seen().parts.is_empty(), "nothing is submitted again");
}

#[test]
fn build_that_is_no_rebuild_of_the_livepatch_proves_nothing() {
    let then = manifest();
    let mut of_another = rebuilding(&then);
    let digest = Sha256Digest::of(b"another module");
    of_another.build.rebuild.as_mut().expect("a rebuild").module = digest;
    for script in [success(), of_another] {
        let (.., ended) = rebuild(&then, script, &["--follow", "7"]);
        ended.expect(1, &["build 7 is no rebuild of the livepatch of", "leave --follow out"]);
        assert!(ended.stdout.is_empty());
    }
}
