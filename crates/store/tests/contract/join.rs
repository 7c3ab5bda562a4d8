use elivepatch_model::{BuildState, FailureClass};
use elivepatch_store::StoreError;

use crate::support::{Fixture, failure, key, manifest, now, proof};

#[tokio::test]
async fn equal_request_joins_a_build_that_waits_runs_or_has_succeeded() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let new = fixture.new_build("a").await;

    let joins = async |expected: BuildState| {
        let submission = fixture.store.submit(&new, 100, now()).await.expect("joined");
        assert_eq!((submission.joined, submission.build.number), (true, number));
        assert_eq!(submission.build.state, expected);
    };
    joins(BuildState::Queued).await;
    let claimed = fixture.claim().await;
    joins(BuildState::Running).await;
    let module = fixture.keep(b"module").await;
    fixture.store.set_module(&proof(&claimed), module, now()).await.expect("set");
    let manifest = manifest(key("a"), module);
    fixture.store.complete(&proof(&claimed), &manifest, now()).await.expect("completed");
    joins(BuildState::Succeeded).await;

    let name = module.digest.to_string();
    let path = fixture.directory.join("blobs").join(&name[..2]).join(name);
    std::fs::write(&path, "mod").expect("cut");
    assert_ne!(fixture.queue("a").await, number, "a livepatch without its module is built anew");
}

#[tokio::test]
async fn equal_request_joins_a_final_failure_and_reruns_one_that_may_pass() {
    let cases = [
        (FailureClass::CompileFailed, true),
        (FailureClass::PatchDoesNotApply, true),
        (FailureClass::NotPatchable, true),
        // The archive may have the kernel tomorrow, and the machine may be less busy.
        (FailureClass::ReleaseUnknown, false),
        (FailureClass::LimitExceeded, false),
        // An administrator can mend what stands behind these.
        (FailureClass::ToolchainUnknown, false),
        (FailureClass::BaselineDoesNotApply, false),
        (FailureClass::KernelDoesNotBuild, false),
        (FailureClass::BaseDoesNotFit, false),
        (FailureClass::FitUnproven, false),
        (FailureClass::TrialCheckFailed, false),
        (FailureClass::TrialCheckUnusable, false),
        (FailureClass::TrialKernelFault, false),
    ];
    for (class, joined) in cases {
        let fixture = Fixture::new().await;
        fixture.queue("a").await;
        let claimed = fixture.claim().await;
        fixture.store.fail(&proof(&claimed), &failure(class), now()).await.expect("failed");
        let new = fixture.new_build("a").await;
        let again = fixture.store.submit(&new, 100, now()).await.expect("submitted");
        assert_eq!(again.joined, joined, "{class}");
    }
}

#[tokio::test]
async fn cancelled_build_is_not_joined() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    fixture.store.cancel(number, now()).await.expect("cancelled");
    assert_ne!(fixture.queue("a").await, number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_requests_at_the_same_instant_make_one_build() {
    let fixture = Fixture::new().await;
    let other_process = fixture.open_again().await;
    let new = fixture.new_build("a").await;
    let submissions = (0..16).map(|index| {
        let store = if index % 2 == 0 { fixture.store.clone() } else { other_process.clone() };
        let new = new.clone();
        tokio::spawn(async move { store.submit(&new, 100, now()).await.expect("submitted") })
    });
    let submissions = futures::future::join_all(submissions.collect::<Vec<_>>()).await;
    let new = submissions.iter().filter(|result| !result.as_ref().expect("no panic").joined);
    assert_eq!(new.count(), 1);
    assert_eq!(fixture.store.builds_with_key(key("a")).await.expect("listed").len(), 1);
}

#[tokio::test]
async fn full_queue_refuses_a_new_build_and_still_joins_an_old_one() {
    let fixture = Fixture::new().await;
    fixture.queue("a").await;
    let (old, new) = (fixture.new_build("a").await, fixture.new_build("b").await);
    assert!(fixture.store.submit(&old, 1, now()).await.expect("joined").joined);
    let refused = fixture.store.submit(&new, 1, now()).await;
    assert!(matches!(refused, Err(StoreError::QueueFull(1))), "{refused:?}");
}

#[tokio::test]
async fn build_that_waits_is_as_urgent_as_the_most_urgent_that_joins_it() {
    let fixture = Fixture::new().await;
    let submit = async |name: &str, priority: i32| {
        let mut new = fixture.new_build(name).await;
        new.priority = priority;
        fixture.store.submit(&new, 100, now()).await.expect("queued").build.number
    };
    let (late, early) = (submit("a", -5).await, submit("b", -1).await);
    assert_eq!(submit("a", 0).await, late);
    assert_eq!(fixture.claim().await.build.number, late);
    // One that is less urgent changes nothing.
    fixture.store.raise_priority(early, -10).await.expect("asked");
    submit("c", -5).await;
    assert_eq!(fixture.claim().await.build.number, early);
}
