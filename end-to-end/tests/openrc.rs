//! The agent and the boot service under a real OpenRC, Debian's over sysvinit.

use elivepatch_end_to_end::{RegisteredSystem, ServiceManager};

#[test]
#[ignore = "a whole system is booted twice: make test-full"]
fn services_load_keep_and_take_back_under_openrc() {
    let (agent, boot) = ("elivepatch-agent", "elivepatch-boot");
    let system = RegisteredSystem::new(ServiceManager::OpenRc, &[agent, boot]);
    let (server, one, enrol) = (system.server(), system.livepatch(), system.enrol());
    let script = format!(
        r#"
        run early rc-service {agent} start
        run enrol {enrol}
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
    let mut running = system.start(&script);
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
        r#"
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
    let mut running = system.start(&script);
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
    system.server_hears_of_its_end();
}
