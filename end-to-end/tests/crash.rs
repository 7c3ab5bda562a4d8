//! The server and its machine fail at the worst moments: no build is lost, and nothing of a build
//! goes on running.

use std::{fs, path::PathBuf, time::Duration};

use elivepatch_end_to_end::{
    BUILD_LIMIT, OwnCache, RELEASE, ServerOptions, TestServer, make_base_ready, own_patch, patch,
    wait_until,
};
use elivepatch_model::{BuildState, StepName};

/// The tools of a build die with the server; the kernel needs a moment to take all of them down.
const TOOLS_END: Duration = Duration::from_secs(5);

/// Kills the server in a step of a build; gives back the server after its restart, which has
/// finished the build and given the livepatch to the client that was waiting all the time.
fn survives_kill_in(step: StepName, tool: &str) -> TestServer {
    let mut server = TestServer::start(ServerOptions::default());
    let mut client = server.build().patch(&own_patch("old-style")).start();
    let number = client.build_number();
    server.api().wait_for_step(number, step);
    let tools = elivepatch_end_to_end::wait_until(tool, Duration::from_secs(60), || {
        Some(server.processes()).filter(|tools| tools.runs(tool))
    });
    server.kill();
    tools.must_end_within(TOOLS_END);
    server.restart();

    let run = client.wait().succeeds();
    let (_, manifest) = run.livepatch();
    assert_eq!(manifest.functions.len(), 1);
    assert!(run.stderr.contains("the server is back"), "{}", run.stderr);
    assert!(run.stderr.contains("begins again"), "{}", run.stderr);
    let build = server.api().build(number);
    assert_eq!((build.state, build.attempts), (BuildState::Succeeded, 2));
    server
}

#[test]
fn build_is_finished_after_the_server_was_killed_while_compiling() {
    let mut server = survives_kill_in(StepName::Compile, "make");

    // Once more, now that the build is finished: it is still there, with its module.
    let [before] = server.api().builds().try_into().expect("one build");
    server.kill();
    server.restart();
    let again = server.client("build").args(["--follow", &before.number.to_string()]);
    let (_, manifest) = again.run().succeeds().livepatch();
    assert_eq!(manifest.build_key, before.key);
    let after = server.api().build(before.number);
    assert_eq!((after.state, after.attempts), (BuildState::Succeeded, 2), "it was built again");
}

#[test]
fn build_is_finished_after_the_server_was_killed_in_the_trial() {
    drop(survives_kill_in(StepName::Trial, "qemu-system-x86_64"));
}

#[test]
fn server_that_is_told_to_stop_puts_its_build_back_at_once() {
    make_base_ready();
    let mut server = TestServer::start(ServerOptions::default());
    let submitted = server.build().patch(&own_patch("old-style")).args(["--no-wait"]).run();
    let number = submitted.succeeds().stdout.trim().parse().expect("the build's number");
    server.api().wait_for_step(number, StepName::Compile);
    let tools = elivepatch_end_to_end::wait_until("a tool", Duration::from_secs(60), || {
        Some(server.processes()).filter(|tools| tools.runs("make"))
    });
    let status = server.terminate();
    assert!(status.success(), "{status}");
    tools.must_end_within(TOOLS_END);
    server.restart();
    // It waits for no lease to run out: within seconds it is at the same step again.
    let again = Duration::from_secs(30);
    elivepatch_end_to_end::wait_until("the second attempt", again, || {
        let build = server.api().build(number);
        (build.attempts == 2 && build.state == BuildState::Running).then_some(())
    });
}

#[test]
fn client_gives_up_on_a_server_that_stays_away_and_says_how_to_go_on() {
    let mut server = TestServer::start(ServerOptions::default());
    let label = patch("demo/meminfo-label");
    let mut client = server.build().patch(&label).args(["--give-up-after", "3"]).start();
    let number = client.build_number();
    server.kill();
    let run = client.wait();
    let said = run.fails(4);
    let command = format!("elivepatch build --url {} --follow {number}", server.url());
    assert!(said.contains(&command), "{said}");
    assert!(said.contains("trying again for 3 s"), "{said}");
}

#[test]
fn base_that_is_removed_under_a_build_gives_no_livepatch_and_is_made_anew() {
    let own_cache = OwnCache::with_own_bases();
    let bases = own_cache.bases();
    let shared_cache = Some(own_cache.path().to_owned());
    let server = TestServer::start(ServerOptions { shared_cache, ..ServerOptions::default() });
    let mut client = server.build().patch(&own_patch("old-style")).args(["--verbose"]).start();
    let number = client.build_number();
    // All that a livepatch needs has been read by then: nothing but a look at the base fails it.
    wait_until("the trial's machine", BUILD_LIMIT, || {
        let boots = client.stderr().contains(&format!("booting {RELEASE} in QEMU"));
        (boots && server.processes().runs("qemu-system-x86_64")).then_some(())
    });
    for base in &bases {
        let name = base.file_name().expect("it has a name");
        fs::rename(base, own_cache.path().join(name)).expect("own directory");
    }
    let line = wait_until("the end of the first attempt", BUILD_LIMIT, || {
        let build = server.api().build(number);
        assert_ne!(build.state, BuildState::Succeeded, "a livepatch of a base that is gone");
        server.log().lines().find(|line| line.contains("class=base-failed")).map(str::to_owned)
    });
    assert!(line.contains("was removed or damaged while a build used it"), "{line}");
    // It is not the request's fault: the server itself tries again. That a base that is being made
    // becomes one, other tests show.
    let staging: Vec<PathBuf> =
        bases.iter().map(|base| PathBuf::from(format!("{}.partial", base.display()))).collect();
    wait_until("a new base in the making", BUILD_LIMIT, || {
        let build = server.api().build(number);
        (build.attempts == 2 && staging.iter().any(|path| path.is_dir())).then_some(())
    });
}
