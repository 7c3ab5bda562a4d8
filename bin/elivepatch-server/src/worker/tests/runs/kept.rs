//! Fixes that a run's livepatch holds whatever becomes of the CVEs.

use super::*;

/// A fix that was ordered by hand; what a builder makes of it is a word in it.
fn by_hand(name: &str, word: &str) -> NamedPatch {
    let text =
        format!("--- a/mm/own.c\n+++ b/mm/own.c\n@@ -1,3 +1,3 @@\n one\n-two\n+{word}\n three\n");
    NamedPatch { name: name.to_owned(), content: text.into() }
}

async fn finished(server: &Fixture, kept: &[NamedPatch]) -> RunResource {
    let begun = server.start_with(&request(), kept).await;
    server.finished(begun.run.number).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fixes_of_cves_are_tried_on_top_of_what_is_kept_and_the_livepatch_holds_both() {
    let world = World::new();
    world.publish(1001, "6.1.177", "ONE");
    world.publish(1002, "6.1.178", "GOOD");
    let server = world.server().await;
    let kept = [by_hand("own.patch", "OTHER"), by_hand("more.patch", "GOOD")];
    let run = finished(&server, &kept).await;
    assert_eq!(run.state, RunState::Finished, "{:?}", run.failure);
    let own_names: Vec<&str> = run.kept.iter().map(|fix| fix.name.as_str()).collect();
    assert_eq!(own_names, ["own.patch", "more.patch"]);
    // The first one does not go with what is kept, and what is kept stays.
    let own = |more: &[u32]| -> Vec<String> {
        own_names
            .iter()
            .map(|one| (*one).to_owned())
            .chain(more.iter().map(|one| name(*one)))
            .collect()
    };
    assert_eq!(
        verdicts(&run),
        [("CVE-2026-1001".to_owned(), "not-patchable"), ("CVE-2026-1002".to_owned(), "livepatch"),]
    );
    let built = world.built();
    assert_eq!(built[0], own(&[]), "first what is kept, by itself");
    assert!(built.contains(&own(&[1001])) && built.contains(&own(&[1002])), "{built:?}");
    let build = server.client.build(run.livepatch.expect("one")).await.expect("there");
    let held: Vec<String> = build.fixes.iter().map(|fix| fix.name.clone()).collect();
    assert_eq!(held, own(&[1002]));
    // What the kept ones replace is not put down to the CVE.
    let cve = run.cves.iter().find(|cve| cve.result.id == id(1002)).expect("it is there");
    let result = serde_json::to_value(&cve.result).expect("JSON");
    let outcome = &result["outcome"];
    assert_eq!(outcome["functions"].as_array().map(Vec::len), Some(1), "{outcome}");
    assert_eq!(outcome["functions"][0]["name"], name(1002));
    // An equal request joins; one without them is another run.
    assert!(server.start_with(&request(), &kept).await.joined);
    let alone = server.start(&request()).await;
    assert!(!alone.joined);
    let alone = server.finished(alone.run.number).await;
    assert!(alone.kept.is_empty());
    let build = server.client.build(alone.livepatch.expect("one")).await.expect("there");
    assert_eq!(build.fixes.len(), 2);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_fails_when_what_is_kept_cannot_be_built_and_blames_no_cve() {
    let world = World::new();
    world.publish(1001, "6.1.177", "GOOD");
    let server = world.server().await;
    let run = finished(&server, &[by_hand("own.patch", "WRONG")]).await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.expect("it says why");
    assert_eq!(failure.fix.as_deref(), Some("own.patch"));
    assert_eq!(world.built().len(), 1);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fix_of_a_cve_that_is_kept_is_in_the_livepatch_once() {
    let world = World::new();
    world.publish(1001, "6.1.177", "GOOD");
    let server = world.server().await;
    let text =
        fs::read(world.path("fixes").join(format!("{}.patch", hash(1001)))).expect("own file");
    let kept = NamedPatch { name: "copy.patch".to_owned(), content: text.into() };
    let run = finished(&server, std::slice::from_ref(&kept)).await;
    assert_eq!(verdicts(&run), [("CVE-2026-1001".to_owned(), "livepatch")]);
    let build = server.client.build(run.livepatch.expect("one")).await.expect("there");
    let held: Vec<&str> = build.fixes.iter().map(|fix| fix.name.as_str()).collect();
    assert_eq!(held, ["copy.patch"]);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_must_be_a_patch() {
    let world = World::new();
    world.publish(1001, "6.1.177", "GOOD");
    let server = world.server().await;
    let kept = [NamedPatch { name: "own.patch".to_owned(), content: "no patch".into() }];
    let texts =
        RequestTexts { config: Some(CONFIG.as_bytes()), patches: &kept, ..RequestTexts::default() };
    let error = server.client.start_run(&request(), &texts).await.expect_err("it is none");
    assert!(error.to_string().contains("own.patch"), "{error}");
    server.ended().await;
}
