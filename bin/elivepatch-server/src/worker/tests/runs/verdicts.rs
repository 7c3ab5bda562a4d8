//! What is said of fixes that cannot be taken as they are.

use elivepatch_server::app::CvePolicy;

use super::*;

/// Publishes a CVE whose fix is two commits.
fn publish_two(world: &World, number: u32, words: [&str; 2]) {
    let commits = [number * 10, number * 10 + 1];
    for (commit, word) in commits.iter().zip(words) {
        world.patch(&format!("mm/file{commit}.c"), *commit, word);
    }
    let dyad = |commit: u32| format!("5.0:{}:6.1.180:{}\n", hash(1), hash(commit));
    world.record(number, &commits.map(dyad).concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_is_fixed_in_the_source_only_when_all_its_patches_are_there() {
    let world = World::new();
    publish_two(&world, 1001, ["IN-SOURCE", "WORKS"]);
    publish_two(&world, 1002, ["ALSO", "IN-SOURCE"]);
    publish_two(&world, 1003, ["IN-SOURCE", "IN-SOURCE"]);
    publish_two(&world, 1004, ["IN-SOURCE", "WRONG"]);
    let server = world.server().await;
    let (run, _) = run(&world, &server, &request()).await;
    assert_eq!(
        verdicts(&run),
        [
            ("CVE-2026-1001".to_owned(), "livepatch"),
            ("CVE-2026-1002".to_owned(), "livepatch"),
            ("CVE-2026-1003".to_owned(), "already-fixed"),
            ("CVE-2026-1004".to_owned(), "build-failed"),
        ]
    );
    let build = server.client.build(run.livepatch.expect("a livepatch")).await.expect("there");
    assert_eq!(build.fixes.len(), 2, "{:?}", build.fixes);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fix_that_was_rewritten_is_not_live() {
    let world = World::new();
    world.publish(1001, "6.1.180", "WORKS");
    world.publish(1002, "6.1.180", "ALSO");
    let server = world.server().await;
    let (run, _) = run(&world, &server, &request()).await;
    let build = server.client.build(run.livepatch.expect("a livepatch")).await.expect("there");
    let module = build_id_of(build.manifest.expect("it is finished").module.digest);
    server.ended().await;
    // It turns out that one commit was not enough.
    world.record(
        1002,
        &format!("5.0:{0}:6.1.180:{1}\n5.0:{0}:6.1.190:{2}\n", hash(1), hash(1002), hash(1999)),
    );
    let server = world.server().await;
    let target = TargetFacts { machine: machine(&[("a", Some(module), true)]), ..request().target };
    let assessment = AssessmentRequest { target, linux_version: None, explain: vec![] };
    let found = server.client.assess(&assessment).await.expect("it can be told");
    assert_eq!((found.counts["already-live"], found.counts["candidate"]), (1, 1));
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_that_says_nothing_ends_the_run_and_blames_no_fix() {
    let world = World::new();
    world.publish(1001, "6.1.180", "WORKS");
    let server = world.server().await;
    let request = RunRequest { checks: vec![check(None, "UNUSABLE")], ..request() };
    let begun = server.start(&request).await;
    let run = server.finished(begun.run.number).await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.expect("a reason");
    assert_eq!(failure.class, FailureClass::TrialCheckUnusable);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_what_applies_only_after_others() {
    let world = World::new();
    world.publish(1001, "6.1.181", "NEIGHBOUR");
    world.publish(1002, "6.1.180", "LATE");
    let fixes = vec![FixSourceOptions::Directory { path: world.path("fixes") }];
    let mut policy = CvePolicy::default();
    policy.livepatch_functions = 1;
    let server = world.server_with(CveOptions { fixes, policy, ..CveOptions::default() }).await;
    let (run, _) = run(&world, &server, &request()).await;
    assert_eq!(
        verdicts(&run),
        [("CVE-2026-1001".to_owned(), "livepatch"), ("CVE-2026-1002".to_owned(), "denied")]
    );
    server.ended().await;
}
