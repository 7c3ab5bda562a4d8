//! The agent and the boot service under a real OpenRC, Debian's over sysvinit.

use std::{fs, path::PathBuf, time::Duration};

use elivepatch_end_to_end::{
    Livepatches, ServerOptions, ServiceManager, TargetMachine, module_name, wait_until, way_to,
};

/// A whole system, under software emulation.
const PATIENCE: Duration = Duration::from_secs(1200);

fn service(name: &str) -> Vec<u8> {
    let place = format!("{}/../packaging/openrc/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&place).unwrap_or_else(|error| panic!("{place}: {error}"))
}

#[test]
#[ignore = "a whole system is booted twice: make test-full"]
fn services_load_keep_and_take_back_under_openrc() {
    let archive = std::env::var_os("ELIVEPATCH_TEST_OPENRC_ROOT").map(PathBuf::from);
    let archive =
        archive.expect("ELIVEPATCH_TEST_OPENRC_ROOT names no archive: make test-full does");
    let config = "[hosts]\nreport_seconds = 10\n".to_owned();
    let livepatches = Livepatches::of(ServerOptions { config, ..ServerOptions::default() });
    let server = &livepatches.server;
    let one = module_name(&livepatches.first);
    let token = server.command(["token", "create", "--role", "host"]);
    let (url, token) = (server.url(), token.trim());
    let (agent, boot) = ("elivepatch-agent", "elivepatch-boot");
    let machine = TargetMachine::with_system(
        &archive,
        ServiceManager::OpenRc,
        &[
            (&format!("etc/init.d/{agent}"), &service(agent)),
            (&format!("etc/init.d/{boot}"), &service(boot)),
            ("etc/elivepatch/agent.toml", b"jitter_seconds = 0\n"),
        ],
    );
    let way = way_to(&url);
    let script = format!(
        r#"{way}
        echo {token} >/tmp/token
        run early rc-service {agent} start
        run enrol elivepatch enrol --url {url} --token-file /tmp/token --name web-17
        run enable-boot rc-update add {boot} boot
        run enable rc-update add {agent} default
        run start-boot rc-service {boot} start
        run start rc-service {agent} start
        until ls /sys/kernel/livepatch | grep -q {one}; do sleep 1; done
        run agent rc-service {agent} status
        run status elivepatch status
        # Whoever starts it anew does not say that the machine is shut down.
        run restart rc-service {boot} restart
        run marked grep -c marker /var/lib/elivepatch/state.json
        "#
    );
    let mut running = machine.start(&script, "net.ifnames=0").with_patience(PATIENCE);
    running.wait_for("<== start ");
    server.command(["host", "assign", "1", "--all"]);
    let said = running.goes_off();
    let early = said.of("early");
    assert!(early.code != 0 && early.output.contains("elivepatch enrol --url URL"), "{early:?}");
    for name in ["enrol", "enable-boot", "enable", "start-boot", "start", "restart"] {
        said.done(name);
    }
    assert!(said.done("agent").contains("started"));
    assert!(said.done("status").contains("patched"));
    assert_eq!(said.done("marked").trim(), "1", "the machine is not shut down: the guard goes on");

    // The machine was shut down in an orderly way within the guard time: that locks nothing out.
    let script = format!(
        r#"{way}
        run boot rc-service {boot} status
        run there ls /sys/kernel/livepatch
        run status elivepatch status
        run agent rc-service {agent} status
        while ls /sys/kernel/livepatch | grep -q {one}; do sleep 1; done
        run withdrawn elivepatch status
        pid=$(cat /run/{agent}.pid)
        run supervised kill -0 $pid
        run stop rc-service {agent} stop
        run gone sh -c "! kill -0 $pid"
        "#
    );
    let mut running = machine.start(&script, "net.ifnames=0").with_patience(PATIENCE);
    running.wait_for("<== agent ");
    server.command(["host", "withdraw", "1", "--reason", "it leaks"]);
    let said = running.goes_off();
    assert!(said.done("boot").contains("started"));
    assert_eq!(said.done("there").trim(), one);
    let status = said.done("status");
    assert!(status.contains("patched") && !status.contains("locked out"), "{status}");
    assert!(said.done("agent").contains("started"));
    assert!(said.done("withdrawn").contains("not patched"));
    for name in ["supervised", "stop", "gone"] {
        said.done(name);
    }
    wait_until("the server to hear of it", Duration::from_secs(5), || {
        let shown = server.command(["host", "show", "web-17", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        (shown["report"]["state"] == "not-patched").then_some(())
    });
}
