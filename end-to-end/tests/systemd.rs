//! The agent and the boot unit under a real systemd: whether their hardening leaves them what they need.

use elivepatch_end_to_end::{RegisteredSystem, ServiceManager};

#[test]
#[ignore = "a whole system is booted twice: make test-full"]
fn units_load_watch_keep_and_take_back_under_systemd() {
    let (agent, boot) = ("elivepatch-agent.service", "elivepatch-boot.service");
    let shutdown = "elivepatch-shutdown.service";
    let system = RegisteredSystem::new(ServiceManager::Systemd, &[agent, boot, shutdown]);
    let (server, one, enrol) = (system.server(), system.livepatch(), system.enrol());
    let script = format!(
        r#"
        run enrol {enrol}
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
    let mut running = system.start(&script);
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
        r#"
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
    let mut running = system.start(&script);
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
    system.server_hears_of_its_end();
}
