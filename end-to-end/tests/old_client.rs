//! The first elivepatch's client against this server: `old_client.py` sends its bytes. What it gets is loaded beside
//! what is there.

use std::fs;

use elivepatch_elf::Module;
use elivepatch_end_to_end::{
    OldSession, RELEASE, ServerOptions, TargetMachine, TestServer, make_base_ready, own_patch,
    stock_config_file,
};
use elivepatch_model::{BuildNumber, BuildState};
use serde_json::json;

/// A session for the stock kernel with a patch.
fn of_stock(uuid: &'static str, patch: &str) -> OldSession {
    OldSession::new(uuid, &stock_config_file(), &own_patch(patch))
}

#[test]
fn old_clients_livepatches_load_side_by_side() {
    make_base_ready();
    let server = TestServer::start(ServerOptions::default());
    // As authors made patches for it: old names, and times behind them.
    let first = of_stock("1c6f3f0e-5b1d-4d2c-8f35-0d8a9b7c6e51", "old-style");
    let second = of_stock("2d704a1f-6c2e-4e3d-9a46-1e9bac8d7f62", "git-format-patch");
    for session in [&first, &second] {
        let said = session.run(&server, RELEASE);
        let answer = json!({"get_config": {"KernelVersion": null, "UUID": session.uuid}});
        assert_eq!((&said["posted"], &said["answer"]), (&201.into(), &answer), "{said}");
        assert_eq!(said["fetched"], 200, "{said}");
        let module = fs::read(session.module()).expect("it was fetched");
        let read = Module::read(&module).expect("a module");
        let vermagic = read.modinfo.vermagic().expect("a module of a kernel");
        assert!(vermagic.starts_with(&format!("{RELEASE} ")), "{vermagic}");
        assert!(!server.log().contains(session.uuid), "whoever reads the log could fetch it");
    }
    for number in [1, 2] {
        let build = server.api().build(BuildNumber(number));
        assert_eq!(build.state, BuildState::Succeeded);
        assert!(build.options.stack && build.target.release.as_str() == RELEASE);
    }
    // The same session once more orders nothing.
    let again = first.run(&server, RELEASE);
    assert_eq!((&again["posted"], &again["fetched"]), (&201.into(), &200.into()), "{again}");
    assert!(again["answer"]["message"].as_str().expect("a note").contains("was seen before"));
    assert_eq!(server.api().builds().len(), 2);
    let audit = server.command(["audit"]);
    let ordered = "a client of the REST API v1.0 at 127.0.0.1  build-ordered  build 1";
    assert!(audit.contains(ordered), "{audit}");

    let machine = TargetMachine::new(&[("a.ko", &first.module()), ("b.ko", &second.module())]);
    let script = "
        run first insmod /disk/a.ko
        run second insmod /disk/b.ko
        while grep -q 1 /sys/kernel/livepatch/*/transition; do sleep 1; done
        run enabled cat /sys/kernel/livepatch/*/enabled
        run label grep -c VMALLOCCHUNK /proc/meminfo
        run uptime cat /proc/uptime
    ";
    let said = machine.start(script, "").goes_off();
    said.done("first");
    said.done("second");
    assert_eq!(said.done("enabled").split_whitespace().collect::<Vec<_>>(), ["1", "1"]);
    assert_eq!(said.done("label").trim(), "1", "the second has not replaced the first");
}

#[test]
fn old_client_is_told_why_it_gets_no_livepatch() {
    make_base_ready();
    let server = TestServer::start(ServerOptions::default());
    let session = of_stock("3e815b20-7d3f-4f4e-8b57-2facbd9e8073", "missing-file-FAIL");
    let said = session.run(&server, RELEASE);
    assert_eq!((&said["posted"], &said["fetched"]), (&422.into(), &403.into()), "{said}");
    let message = said["answer"]["message"].as_str().expect("a message");
    assert!(message.starts_with("build ") && message.contains("gave no livepatch"), "{said}");
    assert_eq!(said["answer"]["error"]["failure"]["class"], "patch-does-not-apply");
    assert_eq!(said["refusal"]["message"], "These are not the patches you are looking for");
    assert!(!session.module().exists());

    // A stock kernel has no patches of its own.
    let stacked = of_stock("4f926c31-8e40-4a5f-9c68-30bdceaf9184", "old-style");
    let stacked = stacked.has(0, &own_patch("git-format-patch"));
    let said = stacked.run(&server, RELEASE);
    assert_eq!((&said["posted"], &said["fetched"]), (&422.into(), &403.into()), "{said}");
    let message = said["answer"]["message"].as_str().expect("a message");
    assert!(message.contains("those hold no patches but Debian's own"), "{said}");

    // Of which stock kernel's source this is the version, nothing says.
    let unknown = of_stock("50a37d42-9f51-4b60-8d79-41cedfb0a295", "old-style");
    let said = unknown.run(&server, "6.1.176");
    assert_eq!((&said["posted"], &said["fetched"]), (&403.into(), &403.into()), "{said}");
    assert_eq!(said["answer"]["message"], "gentoo-sources not available");
    let hint = said["answer"]["error"]["hint"].as_str().expect("a hint");
    assert!(hint.contains("--kernel_version RELEASE"), "{said}");
}
