use elivepatch_model::{BuildNumber, SessionId};

use crate::support::{Fixture, now};

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
