//! The agent on a machine that is patched: the stock kernel in QEMU, registered at a real server, which assigns
//! livepatches to it, withdraws them, and is away for a time.

use std::time::Duration;

use elivepatch_end_to_end::{
    Livepatches, ServerOptions, TestServer, module_name, wait_until, way_to,
};

/// How long the machine may take until it has heard of something and done it: it asks each ten seconds.
const HEARD: Duration = Duration::from_secs(120);

/// All of it, the machine under software emulation.
const PATIENCE: Duration = Duration::from_secs(900);

/// What the server knows of the host.
fn host(server: &TestServer) -> serde_json::Value {
    let text = server.command(["host", "show", "web-17", "--json"]);
    serde_json::from_str(&text).expect("JSON")
}

/// Waits until the host is as the server wants it: the name of its active livepatch, or none.
fn wait_for(server: &TestServer, livepatch: Option<&str>) {
    wait_until(&format!("the host with {livepatch:?}"), HEARD, || {
        let report = &host(server)["report"];
        let there = &report["livepatch"];
        let active = there["name"].as_str().filter(|_| there["active"] == true);
        (report.is_object() && active == livepatch).then_some(())
    });
}

#[test]
fn host_is_registered_told_what_to_load_and_has_the_last_word() {
    let config = "[hosts]\nreport_seconds = 10\n".to_owned();
    let livepatches = Livepatches::of(ServerOptions { config, ..ServerOptions::default() });
    let server = &livepatches.server;
    let (one, two) = (module_name(&livepatches.first), module_name(&livepatches.second));
    let token = server.command(["token", "create", "--role", "host", "--tag", "web"]);
    let (url, token) = (server.url(), token.trim());
    let way = way_to(&url);
    let script = format!(
        r#"{way}
        # gone PATTERN: waits until no livepatch of that name is there; there PATTERN: until one is.
        gone() {{ while ls /sys/kernel/livepatch | grep -q $1; do sleep 1; done; }}
        there() {{ until ls /sys/kernel/livepatch | grep -q $1; do sleep 1; done; }}
        mkdir -p /etc/elivepatch
        echo 'jitter_seconds = 0' >/etc/elivepatch/agent.toml
        run unregistered elivepatch agent --once
        echo {token} >/tmp/token
        run wrong sh -c "echo elp_0123456789ab_wrong | elivepatch enrol --url {url} --token-file -"
        run enrol elivepatch enrol --url {url} --token-file /tmp/token --name web-17
        run again elivepatch enrol --url {url} --token-file /tmp/token --name web-18
        run once elivepatch agent --once
        run status-0 elivepatch status
        elivepatch agent 2>/tmp/agent &
        agent=$!
        there {one}
        sleep 2
        run second-agent elivepatch agent
        run seen-1 grep -c VMALLOCCHUNK /proc/meminfo
        there {two}
        gone {one}
        run seen-2 grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
        run status-2 elivepatch status
        echo "==> reverting"
        run revert elivepatch revert
        # Three rounds: the agent leaves it alone.
        sleep 30
        run alone ls /sys/kernel/livepatch
        run status-alone elivepatch status
        run apply elivepatch apply {two}
        echo "==> applied"
        there {one}
        gone {two}
        run seen-3 grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
        gone {one}
        run seen-none grep -c VMALLOCCHUNK /proc/meminfo
        echo "==> withdrawn"
        while ! elivepatch status | grep -q "did not answer"; do sleep 1; done
        run status-silent elivepatch status
        kill $agent
        wait $agent
        echo "==> agent-ended $?"
        run said cat /tmp/agent
        "#
    );
    let machine = livepatches.machine(&[]);
    let mut running = machine.start(&script, "").with_patience(PATIENCE);
    running.wait_for("<== status-0");
    wait_for(server, None);
    server.command(["host", "assign", "1", "--tag", "web"]);
    wait_for(server, Some(&one));
    running.wait_for("<== seen-1");
    server.command(["host", "assign", "2", "--all"]);
    // What is assigned to a tag goes before what is assigned to all.
    std::thread::sleep(Duration::from_secs(12));
    wait_for(server, Some(&one));
    server.command(["host", "assign", "2", "--host", "web-17"]);
    wait_for(server, Some(&two));
    running.wait_for("==> reverting");
    wait_until("the host that says that somebody took it back", HEARD, || {
        let report = &host(server)["report"];
        let fault = report["faults"][0]["what"].as_str()?.contains("has taken it back");
        (fault && report["state"] == "trouble").then_some(())
    });
    running.wait_for("==> applied");
    wait_for(server, Some(&two));
    // Withdrawn: the one that is assigned to the tag takes its place. Then that, and nothing does.
    server.command(["host", "withdraw", "2", "--reason", "it leaks"]);
    wait_for(server, Some(&one));
    running.wait_for("<== seen-3");
    server.command(["host", "withdraw", "1"]);
    wait_for(server, None);
    running.wait_for("==> withdrawn");
    server.command(["host", "forget", "web-17"]);
    let said = running.goes_off();

    let unregistered = said.of("unregistered");
    assert!(unregistered.code == 1 && unregistered.output.contains("elivepatch enrol"));
    assert_ne!(said.of("wrong").code, 0);
    said.done("enrol");
    assert_ne!(said.of("again").code, 0, "the token is for one host");
    said.done("once");
    assert!(said.done("status-0").contains("web-17 at http://127.0.0.1"));
    let second = said.of("second-agent");
    assert!(second.code == 6 && second.output.contains("another agent"), "{second:?}");
    assert_eq!(said.done("seen-1").trim(), "1");
    assert_eq!(said.done("seen-2").trim(), "2");
    assert!(said.done("status-2").contains("it answered"));
    assert!(said.done("revert").contains("as it was booted"));
    assert_eq!(said.done("alone").trim(), "");
    said.done("apply");
    assert_eq!(said.done("seen-3").trim(), "1");
    assert_eq!(said.of("seen-none").code, 1);
    assert!(said.of("status-silent").output.contains("did not answer the last time"));
    assert!(said.lines().any(|line| line == "==> agent-ended 0"));
    let agent = said.done("said");
    for part in
        ["of build 1 is active", "of build 2 is active", "somebody on this machine", "withdrawn by"]
    {
        assert!(agent.contains(part), "{part}: {agent}");
    }
}
