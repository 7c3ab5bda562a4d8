//! The agent and the boot unit under a real systemd: whether their hardening leaves them what they need.

use std::{fs, path::PathBuf, time::Duration};

use elivepatch_end_to_end::{
    Livepatches, ServerOptions, ServiceManager, TargetMachine, module_name, wait_until, way_to,
};

/// A whole system, under software emulation.
const PATIENCE: Duration = Duration::from_secs(1200);

fn unit(name: &str) -> Vec<u8> {
    let place = format!("{}/../packaging/systemd/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&place).unwrap_or_else(|error| panic!("{place}: {error}"))
}

#[test]
#[ignore = "a whole system is booted twice: make test-full"]
fn units_load_watch_keep_and_take_back_under_systemd() {
    let archive = std::env::var_os("ELIVEPATCH_TEST_SYSTEMD_ROOT").map(PathBuf::from);
    let archive =
        archive.expect("ELIVEPATCH_TEST_SYSTEMD_ROOT names no archive: make test-full does");
    let config = "[hosts]\nreport_seconds = 10\n".to_owned();
    let livepatches = Livepatches::of(ServerOptions { config, ..ServerOptions::default() });
    let server = &livepatches.server;
    let one = module_name(&livepatches.first);
    let token = server.command(["token", "create", "--role", "host"]);
    let (url, token) = (server.url(), token.trim());
    let (agent, boot) = ("elivepatch-agent.service", "elivepatch-boot.service");
    let shutdown = "elivepatch-shutdown.service";
    let machine = TargetMachine::with_system(
        &archive,
        ServiceManager::Systemd,
        &[
            (&format!("etc/systemd/system/{agent}"), &unit(agent)),
            (&format!("etc/systemd/system/{boot}"), &unit(boot)),
            (&format!("etc/systemd/system/{shutdown}"), &unit(shutdown)),
            ("etc/elivepatch/agent.toml", b"jitter_seconds = 0\n"),
        ],
    );
    let way = way_to(&url);
    let script = format!(
        r#"{way}
        echo {token} >/tmp/token
        run enrol elivepatch enrol --url {url} --token-file /tmp/token --name web-17
        run enable systemctl enable {agent} {boot} {shutdown}
        run start systemctl start {agent} {boot} {shutdown}
        until ls /sys/kernel/livepatch | grep -q {one}; do sleep 1; done
        # The guard waits for the lock of the load.
        sleep 5
        run guard sh -c "systemctl list-units --no-legend --plain 'run-*' | grep 'elivepatch guard'"
        run agent systemctl is-active {agent}
        run journal journalctl --no-pager -u {agent} -u {boot}
        run status elivepatch status
        run restart systemctl restart {shutdown}
        run marked grep -c marker /var/lib/elivepatch/state.json
        "#
    );
    let mut running = machine.start(&script, "net.ifnames=0").with_patience(PATIENCE);
    running.wait_for("<== start");
    server.command(["host", "assign", "1", "--all"]);
    let said = running.goes_off();
    said.done("enrol");
    said.done("start");
    assert!(said.done("guard").contains("elivepatch guard"));
    assert_eq!(said.done("agent").trim(), "active");
    let journal = said.done("journal");
    assert!(journal.contains("of build 1 is active"), "{journal}");
    assert!(!journal.contains("warning:"), "{journal}");
    assert!(said.done("status").contains("patched"));
    said.done("restart");
    assert_eq!(said.done("marked").trim(), "1", "the machine is not shut down: the guard goes on");

    // The machine was shut down in an orderly way within the guard time: that locks nothing out.
    let script = format!(
        r#"{way}
        run boot systemctl is-active {boot}
        run there ls /sys/kernel/livepatch
        run journal journalctl --no-pager -b -u {boot}
        run before sh -c "systemctl show -p ActiveEnterTimestampMonotonic --value {boot}; systemctl show -p \
            ActiveEnterTimestampMonotonic --value sysinit.target"
        run status elivepatch status
        until systemctl is-active {agent}; do sleep 1; done
        while ls /sys/kernel/livepatch | grep -q {one}; do sleep 1; done
        run withdrawn elivepatch status
        run stop systemctl stop {agent}
        run result systemctl show -p Result --value {agent}
        "#
    );
    let mut running = machine.start(&script, "net.ifnames=0").with_patience(PATIENCE);
    running.wait_for("<== status");
    server.command(["host", "withdraw", "1", "--reason", "it leaks"]);
    let said = running.goes_off();
    assert_eq!(said.done("boot").trim(), "active");
    assert_eq!(said.done("there").trim(), one);
    let journal = said.done("journal");
    assert!(journal.contains("is active"), "{journal}");
    let times: Vec<u64> =
        said.done("before").lines().map(|line| line.trim().parse().expect("a time")).collect();
    assert!(times[0] <= times[1], "before sysinit.target: {times:?}");
    let status = said.done("status");
    assert!(status.contains("patched") && !status.contains("locked out"), "{status}");
    assert!(said.done("withdrawn").contains("not patched"));
    said.done("stop");
    assert_eq!(said.done("result").trim(), "success");
    wait_until("the server to hear of it", Duration::from_secs(5), || {
        let shown = server.command(["host", "show", "web-17", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        (shown["report"]["state"] == "not-patched").then_some(())
    });
}
