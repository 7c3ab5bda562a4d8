use elivepatch_model::{RebuildOf, Sha256Digest, SourceRecord, ToolchainRecord};

use crate::support::{Fixture, key, now};

fn rebuild() -> RebuildOf {
    let digest = Sha256Digest::of(b"x");
    let (kind, version) = ("debian".to_owned(), "1".to_owned());
    RebuildOf {
        module: digest,
        source: SourceRecord { kind, version, ..SourceRecord::default() },
        toolchain: ToolchainRecord { name: "t".to_owned(), digest, compiler: "gcc".to_owned() },
        builder: "builder".to_owned(),
        anyway: true,
    }
}

#[tokio::test]
async fn rebuild_is_never_joined_and_joins_nothing() {
    let fixture = Fixture::new().await;
    let mut again = fixture.new_build("a").await;
    again.rebuild = Some(rebuild());
    // Before there is an ordinary build, beside one that waits, and twice.
    let early = fixture.store.submit(&again, 100, now()).await.expect("queued");
    let ordinary = fixture.queue("a").await;
    let late = fixture.store.submit(&again, 100, now()).await.expect("queued");
    assert!(!early.joined && !late.joined);
    assert_eq!(early.build.rebuild, Some(rebuild()));
    assert_ne!(early.build.number, late.build.number);

    let plain = fixture.new_build("a").await;
    let joined = fixture.store.submit(&plain, 100, now()).await.expect("joined");
    assert_eq!((joined.joined, joined.build.number), (true, ordinary));
    let found = fixture.store.equal_build(key("a")).await.expect("asked").expect("there");
    assert_eq!((found.number, found.rebuild), (ordinary, None));
    assert_eq!(fixture.store.builds_with_key(key("a")).await.expect("asked").len(), 3);
}

#[tokio::test]
async fn rebuild_waits_its_turn_in_a_full_queue() {
    let fixture = Fixture::new().await;
    fixture.queue("a").await;
    let mut again = fixture.new_build("a").await;
    again.rebuild = Some(rebuild());
    fixture.store.submit(&again, 1, now()).await.expect_err("the queue is full");
}
