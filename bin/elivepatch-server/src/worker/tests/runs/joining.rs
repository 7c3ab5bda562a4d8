//! When an equal request is answered with the run that is there, and when that is not good any more.

use std::collections::BTreeMap;

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use elivepatch_server::app::WebTimes;

use super::*;

/// A web server that has the patches of a world. It goes with the test's runtime.
async fn web(world: &World) -> FixSourceOptions {
    let place = world.path("fixes");
    let patch = move |Path(name): Path<String>| {
        let text = fs::read(place.join(name));
        async move { text.map_err(|_| StatusCode::NOT_FOUND) }
    };
    let router = Router::new().route("/{name}", get(patch));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    let url = format!("http://{address}/SHA.patch");
    FixSourceOptions::Web { url, per_second: 100.0, times: WebTimes::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_meanwhile_makes_no_other_run() {
    let world = World::new();
    world.publish(1001, "6.1.180", "WORKS");
    world.publish(1002, "6.1.181", "ALSO");
    // No source has it.
    world.record(1003, &format!("5.0:{}:6.1.182:{}\n", hash(1), hash(1003)));
    let fixes = vec![web(&world).await];
    let server = world.server_with(CveOptions { fixes, ..CveOptions::default() }).await;
    let begun = server.start(&request()).await;
    assert!(!begun.joined);
    let early = server.start(&request()).await;
    assert!(early.joined && early.run.number == begun.run.number);
    let run = server.finished(begun.run.number).await;
    assert_eq!(
        verdicts(&run).into_iter().collect::<BTreeMap<_, _>>()["CVE-2026-1003"],
        "fix-unavailable"
    );
    let late = server.start(&request()).await;
    assert!(late.joined && late.run.number == begun.run.number, "{late:?}");
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fix_that_came_to_a_source_later_makes_the_answer_old() {
    let world = World::new();
    world.publish(1001, "6.1.180", "WORKS");
    world.record(1002, &format!("5.0:{}:6.1.182:{}\n", hash(1), hash(1002)));
    let server = world.server().await;
    let first = server.start(&request()).await.run.number;
    assert_eq!(server.finished(first).await.counts["fix-unavailable"], 1);
    assert!(server.start(&request()).await.joined);
    world.patch("mm/file1002.c", 1002, "ALSO");
    let second = server.start(&request()).await;
    assert!(!second.joined, "{second:?}");
    assert_eq!(server.finished(second.run.number).await.counts["livepatch"], 2);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_run_is_as_fresh_as_the_feed() {
    let world = World::new();
    world.publish(1001, "6.1.180", "WORKS");
    let server = world.server().await;
    let first = server.start(&request()).await.run.number;
    let first = server.finished(first).await;
    server.ended().await;
    // The feed is read once more; nothing in it is new.
    let server = world.server().await;
    let second = server.start(&request()).await;
    assert!(second.joined && second.run.number == first.number);
    assert!(second.run.grounds.feed_read_at > first.grounds.feed_read_at, "{second:?}");
    let shown = server.client.run(first.number).await.expect("there");
    assert_eq!(shown.grounds, second.run.grounds, "whoever asks sees the same");
    assert_eq!(shown.outcome_digest, first.outcome_digest, "and no news in it");
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn livepatch_of_a_kernel_that_may_be_another_one_is_not_given_again() {
    let world = World::new();
    world.publish(1001, "6.1.180", "WORKS");
    let server = world.server().await;
    let (first, _) = run(&world, &server, &request()).await;
    // That one was ordered without a build-id.
    let mut known = request();
    known.target.build_id = Some("0123456789abcdef0123".parse().expect("a build-id"));
    let (second, _) = run(&world, &server, &known).await;
    assert_ne!(second.livepatch, first.livepatch);
    let again = RunRequest { again: true, ..known };
    let (third, _) = run(&world, &server, &again).await;
    assert_eq!(third.livepatch, second.livepatch, "of the same kernel it is");
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_that_failed_is_no_verdict_for_good() {
    let world = World::new();
    world.publish(1001, "6.1.180", "WORKS");
    world.publish(1002, "6.1.181", "TOO-MUCH");
    let server = world.server().await;
    let first = server.start(&request()).await.run.number;
    let run = server.finished(first).await;
    assert_eq!((run.counts["could-not-try"], run.counts["livepatch"]), (1, 1), "{:?}", run.counts);
    let second = server.start(&request()).await;
    assert!(!second.joined, "it is tried again");
    server.finished(second.run.number).await;
    server.ended().await;
}
