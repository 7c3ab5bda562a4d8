//! Several clients, clients that leave, and clients that find something else than a server.

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

use elivepatch_end_to_end::{
    ClientCommand, ServerOptions, TestServer, make_base_ready, own_patch, patch, stock_config_file,
};
use elivepatch_model::{BuildState, Manifest, StepName};

fn functions(manifest: &Manifest) -> Vec<&str> {
    manifest.functions.iter().map(|function| function.name.as_str()).collect()
}

#[test]
fn clients_at_once_get_their_own_livepatches_and_equal_requests_share_one_build() {
    let server = TestServer::start(ServerOptions::default());
    let order = |name| server.build().patch(&own_patch(name)).start();
    let (meminfo, uptime, same) =
        (order("old-style"), order("git-format-patch"), order("old-style"));
    let (meminfo, uptime, same) =
        (meminfo.wait().succeeds(), uptime.wait().succeeds(), same.wait().succeeds());
    assert_eq!(functions(&meminfo.livepatch().1), ["meminfo_proc_show"]);
    assert_eq!(functions(&uptime.livepatch().1), ["uptime_proc_show"]);
    assert_eq!(same.build_number(), meminfo.build_number());
    assert_eq!(same.livepatch(), meminfo.livepatch());
    let builds = server.api().builds();
    assert_eq!(builds.len(), 2, "{builds:#?}");
    assert!(builds.iter().all(|build| build.attempts == 1), "{builds:#?}");
}

#[test]
fn build_goes_on_when_its_client_is_interrupted() {
    let server = TestServer::start(ServerOptions::default());
    let mut client = server.build().patch(&own_patch("old-style")).start();
    let number = client.build_number();
    server.api().wait_for_step(number, StepName::Compile);
    client.interrupt();
    let run = client.wait();
    let said = run.fails(130);
    assert!(said.contains(&format!("interrupted; build {number} goes on")), "{said}");
    assert!(said.contains(&format!("--follow {number}")), "{said}");

    let follower = server.client("build").args(["--follow", &number.to_string()]).run().succeeds();
    assert_eq!(functions(&follower.livepatch().1), ["meminfo_proc_show"]);
    assert_eq!(server.api().build(number).attempts, 1, "it began again");
}

#[test]
fn cancelled_build_stops_its_tools_within_seconds() {
    make_base_ready();
    let server = TestServer::start(ServerOptions::default());
    let submitted = server.build().patch(&own_patch("old-style")).args(["--no-wait"]).run();
    let submitted = submitted.succeeds();
    assert!(submitted.stderr.contains("--follow"), "{}", submitted.stderr);
    let number = submitted.stdout.trim().parse().expect("nothing but the build's number");
    let api = server.api();
    api.wait_for_step(number, StepName::Compile);
    let tools = elivepatch_end_to_end::wait_until("make", Duration::from_secs(30), || {
        Some(server.processes()).filter(|tools| tools.runs("make"))
    });

    let cancel = server.client("cancel").args([number.to_string()]).run();
    let _ = cancel.succeeds();
    tools.must_end_within(Duration::from_secs(10));
    assert_eq!(api.build(number).state, BuildState::Cancelled);
    let follower = server.client("build").args(["--follow", &number.to_string()]).run();
    assert_eq!(follower.code, Some(3), "{}", follower.stderr);
    assert!(follower.stderr.contains(&format!("build {number} is cancelled")), "{follower:?}");

    // The worker is free again, at once.
    let next = server.build().patch(&own_patch("comment-only-FAIL")).run();
    assert_eq!(next.code, Some(3), "{}", next.stderr);
}

/// Orders a build from whatever is at `address`.
fn order_from(address: &str) -> ClientCommand {
    ClientCommand::new("build")
        .args(["--url", address, "--config"])
        .args([stock_config_file()])
        .patch(&patch("demo/meminfo-label"))
}

#[test]
fn server_that_is_not_there_is_named_with_what_to_do() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let begin = Instant::now();
    let run = order_from(&address.to_string()).run();
    let said = run.fails(4);
    assert!(said.contains(&format!("cannot reach the server at http://{address}")), "{said}");
    assert!(said.contains("caused by: Connection refused"), "{said}");
    assert!(said.contains("start it with: elivepatch-server"), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn other_service_at_the_port_is_told_from_a_server() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            // As much of the request as has come; the answer is the same to all.
            let _ = connection.read(&mut [0; 65536]);
            let body = "<!DOCTYPE html><html><body>It works!</body></html>";
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let run = order_from(&address.to_string()).run();
    let said = run.fails(4);
    assert!(said.contains("an answer that is not elivepatch's (HTTP status 200)"), "{said}");
    assert!(said.contains("is this an elivepatch server?"), "{said}");
}
