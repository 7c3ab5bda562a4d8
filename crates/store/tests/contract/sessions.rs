use std::time::Duration;

use elivepatch_model::{BuildNumber, FailureClass, PatchRecord, SessionId, Sha256Digest};
use elivepatch_store::SessionLoad;

use crate::support::{Fixture, RELEASE, after, failure, now, proof};

fn session(last: char) -> SessionId {
    format!("6b7f3c1e-0f5d-4a2b-9c3d-1e2f3a4b5c6{last}").parse().expect("a random UUID")
}

#[tokio::test]
async fn session_has_one_build_for_ever_and_nobody_elses() {
    let fixture = Fixture::new().await;
    let (first, second) = (fixture.queue("a").await, fixture.queue("b").await);
    let store = &fixture.store;
    assert_eq!(store.build_of_session(&session('0')).await.expect("asked"), None);
    assert!(store.begin_session(&session('0'), first, now()).await.expect("new"));
    assert!(!store.begin_session(&session('0'), second, now()).await.expect("known"));
    assert!(store.begin_session(&session('1'), first, now()).await.expect("joins"));
    let again = fixture.open_again().await;
    assert_eq!(again.build_of_session(&session('0')).await.expect("asked"), Some(first));
    assert_eq!(again.build_of_session(&session('1')).await.expect("asked"), Some(first));
    assert_eq!(again.build_of_session(&session('2')).await.expect("asked"), None);
}

#[tokio::test]
async fn session_begins_with_a_build_that_is_there() {
    let fixture = Fixture::new().await;
    let none = fixture.store.begin_session(&session('0'), BuildNumber(7), now()).await;
    none.expect_err("there is no build 7");
    let found = fixture.store.build_of_session(&session('0')).await.expect("asked");
    assert_eq!(found, None);
}

#[tokio::test]
async fn what_sessions_take_is_counted_by_builds_and_by_their_age() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (first, second) = (fixture.queue("a").await, fixture.queue("b").await);
    // That is nobody's session.
    fixture.queue("c").await;
    for (id, build) in [('0', first), ('1', first), ('2', second)] {
        store.begin_session(&session(id), build, now()).await.expect("new");
    }
    let load = async |since| store.session_load(since).await.expect("counted");
    assert_eq!(load(now()).await, SessionLoad { sessions: 3, builds: 2, unfinished: 2 });
    store.cancel(first, now()).await.expect("cancelled");
    assert_eq!(load(now()).await, SessionLoad { sessions: 3, builds: 2, unfinished: 1 });
    // What waits takes room however long ago it was ordered.
    let later = after(Duration::from_secs(1));
    assert_eq!(load(later).await, SessionLoad { sessions: 0, builds: 0, unfinished: 1 });
    // A build of long ago that a session of today joins is none of today's.
    store.begin_session(&session('3'), first, later).await.expect("new");
    assert_eq!(load(later).await, SessionLoad { sessions: 1, builds: 0, unfinished: 1 });
}

#[tokio::test]
async fn kernel_is_new_once_and_only_sessions_count() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let other = PatchRecord { name: "x".to_owned(), digest: Sha256Digest::of(b"x") };
    let mut id = '0'..='9';
    let mut order = async |name: &str, release: &str, baseline: &[PatchRecord], has_session| {
        let mut new = fixture.new_build_for(name, release).await;
        new.baseline = baseline.to_vec();
        let build = store.submit(&new, 100, now()).await.expect("queued").build;
        if has_session {
            let session = session(id.next().expect("few"));
            store.begin_session(&session, build.number, now()).await.expect("new");
        }
        build.config
    };
    let config = order("a", RELEASE, &[], false).await;
    let release = RELEASE.parse().expect("a release");
    let knows = async |config, baseline: &[PatchRecord]| {
        store.knows_kernel(&release, config, baseline).await.expect("asked")
    };
    assert!(knows(config, &[]).await);
    assert!(!knows(config, std::slice::from_ref(&other)).await);
    assert!(!knows(Sha256Digest::of(b"another"), &[]).await);
    let kernels = async || store.kernels_of_sessions(now()).await.expect("counted");
    order("b", RELEASE, &[], true).await;
    assert_eq!(kernels().await, 0, "somebody else brought it");
    order("c", RELEASE, std::slice::from_ref(&other), true).await;
    order("d", RELEASE, std::slice::from_ref(&other), true).await;
    assert_eq!(kernels().await, 1);
    order("e", "6.1.176-mine", &[], true).await;
    order("f", "6.1.177-mine", &[], false).await;
    assert_eq!(kernels().await, 2);
    let later = after(Duration::from_secs(1));
    assert_eq!(store.kernels_of_sessions(later).await.expect("counted"), 0);
}

#[tokio::test]
async fn kernel_that_the_server_has_no_source_of_takes_no_room() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let kernels = async || store.kernels_of_sessions(now()).await.expect("counted");
    let release = RELEASE.parse().expect("a release");
    let knows = async || {
        let config = store.build(BuildNumber(1)).await.expect("there").config;
        store.knows_kernel(&release, config, &[]).await.expect("asked")
    };
    let build = fixture.queue("a").await;
    store.begin_session(&session('0'), build, now()).await.expect("new");
    assert_eq!((kernels().await, knows().await), (1, true), "nobody knows yet");
    let claimed = fixture.claim().await;
    let failure = failure(FailureClass::ReleaseUnknown);
    store.fail(&proof(&claimed), &failure, now()).await.expect("failed");
    assert_eq!((kernels().await, knows().await), (0, false));
    // When there is a source it is as new as any.
    let build = fixture.queue("a").await;
    store.begin_session(&session('1'), build, now()).await.expect("new");
    assert_eq!((kernels().await, knows().await), (1, true));
}
