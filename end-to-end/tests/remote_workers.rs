//! Builds that are done on other machines than the server's.

use std::time::Duration;

use elivepatch_end_to_end::{
    BUILD_LIMIT, ServerOptions, TestServer, TestWorker, make_base_ready, own_patch, wait_until,
};
use elivepatch_model::{BuildState, StepName};

/// A server that builds nothing itself.
fn server(config: &str) -> TestServer {
    make_base_ready();
    let config = config.to_owned();
    TestServer::start(ServerOptions { config, without_workers: true, ..ServerOptions::default() })
}

/// A token for workers. Its id is what stands between `elp_` and the secret.
fn token(server: &TestServer) -> String {
    server.command(["token", "create", "--role", "worker"]).trim().to_owned()
}

#[test]
fn worker_of_another_machine_makes_what_the_server_itself_would_make() {
    let server = server("");
    assert!(server.log().contains("workers: none here: builds wait for workers of other machines"));
    let mut order = server.build().patch(&own_patch("old-style")).start();
    let number = order.build_number();
    let problems = server.api().health().problems;
    assert!(problems.iter().any(|problem| problem.contains("no worker")), "{problems:?}");
    let token = token(&server);
    let mut worker = TestWorker::start(&server, "builder-1", &token, "");
    worker.is_taken();
    let run = order.wait().succeeds();
    let build = server.api().build(number);
    assert_eq!((build.state, build.attempts), (BuildState::Succeeded, 1));
    assert!(build.steps.iter().any(|step| step.name == StepName::Trial), "{:?}", build.steps);
    let (id, _secret) =
        token.strip_prefix("elp_").and_then(|rest| rest.split_once('_')).expect("a token");
    let name = format!("{id}/builder-1-1");
    assert!(server.log().contains(&format!("worker={name:?}")), "{name}:\n{}", server.log());
    let health = server.api().health();
    assert!(
        health.workers.iter().any(|worker| worker.name == "builder-1-1"),
        "{:?}",
        health.workers
    );
    let (exit, log) = worker.terminate();
    assert_eq!(exit, Some(0), "{log}");
    // A server with a worker of its own makes the same bytes.
    let alone = TestServer::start(ServerOptions::default());
    alone.rebuilds_to_the_same_bytes(
        &run,
        &elivepatch_end_to_end::stock_config_file(),
        &[own_patch("old-style")],
    );
}

#[test]
fn build_survives_a_worker_that_is_stopped_and_a_server_that_is_killed() {
    let mut server = server("");
    let token = token(&server);
    let mut first = TestWorker::start(&server, "builder-1", &token, "");
    first.is_taken();
    let mut order = server.build().patch(&own_patch("old-style")).start();
    let number = order.build_number();
    let runs = |server: &TestServer| {
        let api = server.api();
        wait_until("a build that runs", BUILD_LIMIT, || {
            let build = api.build(number);
            assert!(!build.state.is_finished(), "it ended before: {build:#?}");
            (build.state == BuildState::Running && !build.steps.is_empty()).then_some(())
        });
    };
    runs(&server);
    let (exit, log) = first.terminate();
    assert_eq!(exit, Some(0), "{log}");
    assert!(log.contains("build given back: this worker stops"), "{log}");
    assert_eq!(server.api().build(number).state, BuildState::Queued);
    let mut second = TestWorker::start(&server, "builder-2", &token, "");
    second.is_taken();
    runs(&server);
    server.kill();
    // Long enough that a heartbeat and events are missed.
    std::thread::sleep(Duration::from_secs(4));
    server.restart();
    assert_eq!(order.wait().succeeds().livepatch().1.functions.len(), 1);
    let build = server.api().build(number);
    assert_eq!((build.state, build.attempts), (BuildState::Succeeded, 2));
}

#[test]
fn worker_that_cannot_be_used_says_why_and_ends() {
    let server = server("");
    let good = token(&server);
    let ends = |token: &str, config: &str, expected: &[&str]| {
        let (exit, said) = TestWorker::start(&server, "builder-1", token, config).ends();
        assert_eq!(exit, Some(1), "{said}");
        for text in expected {
            assert!(said.contains(text), "{text:?} is not in:\n{said}");
        }
    };
    ends(
        "",
        "",
        &["error: there is no token in ", "hint: it is what elivepatch-server token create"],
    );
    let submit = server.command(["token", "create", "--role", "submit"]);
    let needed = "this needs the role worker; the token has the role submit";
    ends(
        &submit,
        "",
        &[needed, "hint: on the server: elivepatch-server token create --role worker"],
    );
    let mut unknown = good.clone();
    let last = unknown.pop().expect("a character");
    unknown.push(if last == '0' { '1' } else { '0' });
    ends(&unknown, "", &["the token is not valid on this server"]);
    let sources = "[[source]]\nkind = \"debian\"\nname = \"archive\"\nreleases = [\"6.1.*\"]\n";
    ends(&good, sources, &["the worker's sources of kernels are not the server's", "[[source]]"]);
    ends(&good, "[worker]\nserver = 7\n", &["line 2"]);

    // Two on one data directory would remove each other's work.
    let mut worker = TestWorker::start(&server, "builder-1", &good, "");
    worker.is_taken();
    let data = worker.data_directory();
    let config = worker.config();
    let token_file = config.with_file_name("token");
    let second = std::process::Command::new(elivepatch_end_to_end::program("elivepatch-server"))
        .args(["worker", "--url", &server.url(), "--config"])
        .arg(&config)
        .arg("--token-file")
        .arg(&token_file)
        .arg("--data-directory")
        .arg(&data)
        .arg("--cache-directory")
        .arg(config.with_file_name("cache"))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("is running on the data directory"), "{said}");
    assert!(said.contains("hint: a machine is a server or a worker"), "{said}");
}
