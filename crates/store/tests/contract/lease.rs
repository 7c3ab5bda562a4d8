use std::time::Duration;

use elivepatch_model::{BuildState, FailureClass, limits};
use elivepatch_store::{Claim, LEASE_DURATION, LeaseProof, Renewal, StoreError, WorkerEnd};

use crate::support::{
    Fixture, RELEASE, after, claim, claim_as, failure, key, log, manifest, now, proof,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_claimers_of_one_build_get_it_once() {
    let fixture = Fixture::new().await;
    let other_process = fixture.open_again().await;
    fixture.queue("a").await;
    let claims = (0..16).map(|index| {
        let store = if index % 2 == 0 { fixture.store.clone() } else { other_process.clone() };
        tokio::spawn(async move {
            store.claim(&claim_as(&format!("worker-{index}")), now()).await.expect("asked")
        })
    });
    let claims = futures::future::join_all(claims.collect::<Vec<_>>()).await;
    assert_eq!(claims.iter().filter(|got| got.as_ref().expect("no panic").is_some()).count(), 1);
}

#[tokio::test]
async fn worker_gets_only_what_it_can_build_warm_bases_first_then_the_oldest() {
    let fixture = Fixture::new().await;
    let oldest = fixture.queue("oldest").await;
    let new = fixture.new_build_for("warm", "6.12.0-1-amd64").await;
    let warm = fixture.store.submit(&new, 9, now()).await.expect("queued").build.number;
    let newest = fixture.queue("newest").await;

    let nothing = Claim { architectures: vec![], ..claim() };
    assert!(fixture.store.claim(&nothing, now()).await.expect("asked").is_none());
    let with_base = Claim { warm_releases: vec!["6.12.0-1-amd64".to_owned()], ..claim() };
    let mut order = vec![];
    while let Some(claimed) = fixture.store.claim(&with_base, now()).await.expect("asked") {
        order.push(claimed.build.number);
    }
    assert_eq!(order, [warm, oldest, newest]);
    let build = fixture.store.build(oldest).await.expect("there");
    assert_eq!((build.state, build.attempts), (BuildState::Running, 1));
    assert_eq!(build.target.release.as_str(), RELEASE);
}

#[tokio::test]
async fn lease_lasts_while_it_is_renewed() {
    let fixture = Fixture::new().await;
    fixture.queue("a").await;
    let claimed = fixture.claim().await;
    let almost = after(LEASE_DURATION - SECOND);
    let renewed = fixture.store.renew(&proof(&claimed), almost).await.expect("renewed");
    let expected = almost.checked_add(LEASE_DURATION).expect("a time");
    assert_eq!(renewed, Renewal::Until(expected));
    assert_eq!(fixture.store.expire_leases(after(LEASE_DURATION)).await.expect("run"), []);
    fixture
        .store
        .add_events(&proof(&claimed), &[log("still here")], after(LEASE_DURATION))
        .await
        .expect("the lease still lasts");
}

#[tokio::test]
async fn expired_lease_changes_nothing_even_before_it_is_taken_back() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let claimed = fixture.claim().await;
    let late = after(LEASE_DURATION);
    let module = fixture.keep(b"module").await;
    let before = fixture.store.build(number).await.expect("there");

    assert_lost_to(&fixture, &proof(&claimed), module, late).await;
    assert_eq!(fixture.store.build(number).await.expect("there"), before);
    assert_eq!(fixture.store.events(number, 0, 99).await.expect("read").len(), 2);
}

#[tokio::test]
async fn token_of_a_lost_lease_changes_nothing_after_another_worker_has_the_build() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let old = fixture.claim().await;
    let late = after(LEASE_DURATION);
    assert_eq!(fixture.store.expire_leases(late).await.expect("run"), [number]);
    assert_eq!(fixture.store.expire_leases(late).await.expect("again"), []);
    let new = fixture.claim_at(late).await;
    assert_eq!((new.build.number, new.build.attempts), (number, 2));
    let module = fixture.keep(b"module").await;
    let before = fixture.store.build(number).await.expect("there");

    assert_lost_to(&fixture, &proof(&old), module, late).await;
    assert_lost_to(&fixture, &LeaseProof::new(number, "a guess"), module, late).await;
    assert_eq!(fixture.store.build(number).await.expect("there"), before);
    fixture.store.add_events(&proof(&new), &[log("mine")], late).await.expect("the new lease");
}

/// Every write with this proof must be refused.
async fn assert_lost_to(
    fixture: &Fixture,
    proof: &LeaseProof,
    module: elivepatch_store::KeptBlob,
    time: jiff::Timestamp,
) {
    let store = &fixture.store;
    let failure = failure(FailureClass::CompileFailed);
    let results = [
        store.renew(proof, time).await.map(|_| ()),
        store.check_lease(proof, time).await,
        store.add_events(proof, &[log("late")], time).await,
        store.set_module(proof, module, time).await,
        store.complete(proof, &manifest(key("a"), module), time).await,
        store.fail(proof, &failure, time).await.map(|_| ()),
    ];
    for (index, result) in results.into_iter().enumerate() {
        assert!(matches!(result, Err(StoreError::LeaseLost(_))), "write {index}: {result:?}");
    }
}

#[tokio::test]
async fn build_whose_worker_is_lost_too_often_fails_as_worker_lost() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    // Three losses are borne: a server that is killed three times still finishes the build.
    for attempt in 1..=limits::ATTEMPTS + 1 {
        let time = after(LEASE_DURATION * (attempt - 1));
        assert_eq!(fixture.claim_at(time).await.build.attempts, attempt);
        fixture.store.expire_leases(after(LEASE_DURATION * attempt)).await.expect("run");
    }
    let build = fixture.store.build(number).await.expect("there");
    assert_eq!(build.state, BuildState::Failed);
    let failure = build.failure.expect("a failure");
    assert_eq!(failure.class, FailureClass::WorkerLost);
    assert!(failure.message.contains("gone back to the queue 3 times"), "{failure:?}");
    assert_ne!(fixture.queue("a").await, number, "a lost worker is no final verdict");
}

#[tokio::test]
async fn builds_of_a_worker_that_died_go_back_at_once_and_those_of_others_do_not() {
    let fixture = Fixture::new().await;
    let (first, second) = (fixture.queue("a").await, fixture.queue("b").await);
    fixture.claim().await;
    fixture.store.claim(&claim_as("worker-b"), now()).await.expect("claimed").expect("a build");
    let release = || fixture.store.release_worker("worker-a", WorkerEnd::Died, now());
    assert_eq!(release().await.expect("released"), [first]);
    assert_eq!(release().await.expect("again"), []);
    assert_eq!(fixture.store.build(first).await.expect("there").state, BuildState::Queued);
    assert_eq!(fixture.store.build(second).await.expect("there").state, BuildState::Running);
}

#[tokio::test]
async fn worker_that_stops_in_good_order_costs_its_builds_no_attempt() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    for _ in 0..limits::ATTEMPTS + 2 {
        fixture.claim().await;
        let end = WorkerEnd::Stopped;
        fixture.store.release_worker("worker-a", end, now()).await.expect("released");
    }
    assert_eq!(fixture.store.build(number).await.expect("there").state, BuildState::Queued);
}

#[tokio::test]
async fn worker_of_a_cancelled_build_hears_of_it_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let claimed = fixture.claim().await;
    fixture.store.cancel(number, now()).await.expect("cancelled");
    let heard = fixture.store.renew(&proof(&claimed), now()).await.expect("told");
    assert_eq!(heard, Renewal::Cancelled);
    let late = fixture.store.add_events(&proof(&claimed), &[log("late")], now()).await;
    assert!(matches!(late, Err(StoreError::LeaseLost(_))), "{late:?}");
    let stranger = fixture.store.renew(&LeaseProof::new(number, "a guess"), now()).await;
    assert!(matches!(stranger, Err(StoreError::LeaseLost(_))), "{stranger:?}");
    let again = fixture.store.cancel(number, now()).await;
    assert!(matches!(again, Err(StoreError::Finished { .. })), "{again:?}");
    assert!(fixture.store.claim(&claim(), now()).await.expect("asked").is_none());
}

#[tokio::test]
async fn workers_are_known_by_when_they_were_last_heard_of() {
    let fixture = Fixture::new().await;
    fixture.store.claim(&claim_as("early"), now()).await.expect("asked");
    fixture.store.claim(&claim_as("late"), after(SECOND)).await.expect("asked");
    let names = |workers: Vec<elivepatch_store::WorkerRecord>| {
        workers.into_iter().map(|worker| worker.name).collect::<Vec<_>>()
    };
    assert_eq!(names(fixture.store.workers(now()).await.expect("read")), ["early", "late"]);
    assert_eq!(names(fixture.store.workers(after(SECOND)).await.expect("read")), ["late"]);
}
