use elivepatch_model::{BuildEvent, BuildState, FailureClass, limits};
use elivepatch_store::{BuildFilter, RETRY_DELAY, StoreError};

use crate::support::{Fixture, RELEASE, after, claim, failure, key, manifest, now, proof};

#[tokio::test]
async fn build_that_fails_by_its_own_fault_is_not_tried_again() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let claimed = fixture.claim().await;
    let failure = failure(FailureClass::CompileFailed);
    let state = fixture.store.fail(&proof(&claimed), &failure, now()).await.expect("failed");
    assert_eq!(state, BuildState::Failed);
    let build = fixture.store.build(number).await.expect("there");
    assert_eq!((build.state, build.failure), (BuildState::Failed, Some(failure)));
    assert_eq!(build.finished_at, Some(now()));
}

#[tokio::test]
async fn failure_of_the_machine_rests_and_is_tried_again_until_attempts_run_out() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let failure = failure(FailureClass::FetchFailed);
    let mut time = now();
    // The first attempt, and one for each return to the queue.
    let attempts = limits::ATTEMPTS + 1;
    for attempt in 1..=attempts {
        let claimed = fixture.claim_at(time).await;
        let state = fixture.store.fail(&proof(&claimed), &failure, time).await.expect("failed");
        let last = attempt == attempts;
        assert_eq!(state == BuildState::Failed, last, "attempt {attempt}");
        assert!(fixture.store.claim(&claim(), time).await.expect("asked").is_none(), "it rests");
        time = time.checked_add(RETRY_DELAY * attempt).expect("a time");
    }
    let build = fixture.store.build(number).await.expect("there");
    assert_eq!((build.attempts, build.failure), (attempts, Some(failure.clone())));
    let queued =
        fixture.store.events(number, 0, 99).await.expect("read").into_iter().filter(|stored| {
            matches!(
                &stored.event,
                BuildEvent::State { state: BuildState::Queued, failure: Some(_), .. }
            )
        });
    assert_eq!(queued.count(), limits::ATTEMPTS as usize, "each return to the queue says why");
}

#[tokio::test]
async fn manifest_must_be_of_this_build_and_of_the_uploaded_module() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let claimed = fixture.claim().await;
    let module = fixture.keep(b"module").await;
    let good = manifest(key("a"), module);
    let refused = async |manifest: &elivepatch_model::Manifest, part: &str| match fixture
        .store
        .complete(&proof(&claimed), manifest, now())
        .await
    {
        Err(StoreError::WrongManifest { reason, .. }) => assert!(reason.contains(part), "{reason}"),
        other => panic!("{other:?}"),
    };
    refused(&good, "no module").await;
    fixture.store.set_module(&proof(&claimed), module, now()).await.expect("set");
    refused(&manifest(key("b"), module), "build key").await;
    refused(&manifest(key("a"), fixture.keep(b"other").await), "no module").await;
    let mut wrong_size = good.clone();
    wrong_size.module.size_bytes += 1;
    refused(&wrong_size, "another size").await;
    fixture.store.complete(&proof(&claimed), &good, now()).await.expect("completed");
    let build = fixture.store.build(number).await.expect("there");
    assert_eq!((build.state, build.manifest), (BuildState::Succeeded, Some(good)));
}

#[tokio::test]
async fn lists_are_newest_first_in_pages_and_by_state() {
    let fixture = Fixture::new().await;
    let first = fixture.queue("a").await;
    let second = fixture.queue("b").await;
    let third = fixture.queue("c").await;
    fixture.store.cancel(second, after(RETRY_DELAY)).await.expect("cancelled");
    let list = async |filter: BuildFilter, limit| {
        let builds = fixture.store.builds(filter, limit).await.expect("listed");
        builds.into_iter().map(|build| build.number).collect::<Vec<_>>()
    };
    assert_eq!(list(BuildFilter::default(), 9).await, [third, second, first]);
    assert_eq!(
        list(BuildFilter { before: Some(third), ..BuildFilter::default() }, 1).await,
        [second]
    );
    let state = Some(BuildState::Queued);
    assert_eq!(list(BuildFilter { state, ..BuildFilter::default() }, 9).await, [third, first]);
}

#[tokio::test]
async fn list_says_what_failed_in_short() {
    let fixture = Fixture::new().await;
    fixture.queue("a").await;
    let claimed = fixture.claim().await;
    let failure = failure(FailureClass::CompileFailed);
    fixture.store.fail(&proof(&claimed), &failure, now()).await.expect("failed");
    let builds = fixture.store.builds(BuildFilter::default(), 9).await.expect("listed");
    let [build] = &builds[..] else { panic!("{builds:?}") };
    assert_eq!((build.key, build.release.as_str()), (key("a"), RELEASE));
    assert_eq!(build.fixes, ["a"]);
    assert_eq!(build.failure, Some((failure.class, failure.message)));
    assert_eq!((build.started_at, build.finished_at), (Some(now()), Some(now())));
}
