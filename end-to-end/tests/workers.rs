//! Several builds at once in one server.

use std::time::Duration;

use elivepatch_end_to_end::{
    BUILD_LIMIT, ServerOptions, TestServer, make_base_ready, own_patch, wait_until,
};
use elivepatch_model::{BuildNumber, BuildState};

fn server() -> TestServer {
    // What is shared is made before, or one build would wait for the other to make it.
    make_base_ready();
    let config = "[builder]\nworkers = 2\n".to_owned();
    TestServer::start(ServerOptions { config, ..ServerOptions::default() })
}

/// Waits until both builds are seen to run in one look at the list.
fn both_run(server: &TestServer, numbers: [BuildNumber; 2]) {
    let api = server.api();
    wait_until("two builds that run at once", BUILD_LIMIT, || {
        let builds = api.builds();
        let mut ours = builds.iter().filter(|build| numbers.contains(&build.number));
        assert!(
            ours.clone().all(|build| !build.state.is_finished()),
            "one ended before the other began: {builds:#?}"
        );
        (ours.all(|build| build.state == BuildState::Running) && builds.len() == 2).then_some(())
    });
    assert_eq!(api.health().running, 2);
}

#[test]
fn two_workers_build_two_patches_at_the_same_time() {
    let server = server();
    assert!(server.log().contains("workers: 2, so up to 2 builds at the same time"));
    let order = |name| server.build().patch(&own_patch(name)).start();
    let (mut meminfo, mut uptime) = (order("old-style"), order("git-format-patch"));
    let numbers = [meminfo.build_number(), uptime.build_number()];
    both_run(&server, numbers);
    let (meminfo, uptime) = (meminfo.wait().succeeds(), uptime.wait().succeeds());
    let function = |run: &elivepatch_end_to_end::ClientRun| {
        let (_, manifest) = run.livepatch();
        manifest.functions.iter().map(|function| function.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(function(&meminfo), ["meminfo_proc_show"]);
    assert_eq!(function(&uptime), ["uptime_proc_show"]);
    for number in numbers {
        let build = server.api().build(number);
        assert_eq!((build.state, build.attempts), (BuildState::Succeeded, 1));
    }
}

#[test]
fn both_builds_are_finished_after_the_server_was_killed() {
    let mut server = server();
    let order = |name| server.build().patch(&own_patch(name)).start();
    let (mut meminfo, mut uptime) = (order("old-style"), order("git-format-patch"));
    let numbers = [meminfo.build_number(), uptime.build_number()];
    both_run(&server, numbers);
    let tools = wait_until("a tool", Duration::from_secs(60), || {
        Some(server.processes()).filter(|tools| tools.runs("bwrap") || tools.runs("make"))
    });
    server.kill();
    tools.must_end_within(Duration::from_secs(5));
    server.restart();
    let (meminfo, uptime) = (meminfo.wait().succeeds(), uptime.wait().succeeds());
    for run in [&meminfo, &uptime] {
        assert_eq!(run.livepatch().1.functions.len(), 1);
    }
    for number in numbers {
        let build = server.api().build(number);
        assert_eq!((build.state, build.attempts), (BuildState::Succeeded, 2));
    }
}
