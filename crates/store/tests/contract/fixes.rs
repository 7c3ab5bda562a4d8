use std::time::Duration;

use elivepatch_model::Sha256Digest;
use elivepatch_store::{ApprovedFix, KeptBlob, KnownFix};
use jiff::Timestamp;

use crate::support::{Fixture, now};

const COMMIT: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

fn known(blob: KeptBlob) -> KnownFix {
    KnownFix {
        blob,
        source: "the directory /srv/fixes".to_owned(),
        files: vec!["mm/mmap.c".to_owned()],
        is_refused: false,
        fetched_at: Timestamp::from_second(1).expect("a time"),
    }
}

fn approved(blob: KeptBlob, name: &str) -> ApprovedFix {
    ApprovedFix {
        cve: "CVE-2026-1001".parse().expect("a CVE"),
        digest: blob.digest,
        size_bytes: blob.size_bytes,
        name: name.to_owned(),
        files: vec!["mm/mmap.c".to_owned()],
        note: String::new(),
        approved_at: Timestamp::from_second(2).expect("a time"),
    }
}

fn path(fixture: &Fixture, blob: KeptBlob) -> camino::Utf8PathBuf {
    let name = blob.digest.to_string();
    fixture.directory.join("blobs").join(&name[..2]).join(name)
}

#[tokio::test]
async fn remembered_fix_comes_back_and_its_text_is_no_orphan() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    assert_eq!(store.known_fix(COMMIT).await.expect("read"), None);
    let blob = store.place_blob(b"a patch".to_vec()).await.expect("placed");
    let other = store.place_blob(b"an overlay's".to_vec()).await.expect("placed");
    let orphan = store.place_blob(b"not remembered".to_vec()).await.expect("placed");
    let fixes = [(COMMIT.to_owned(), known(blob))];
    store.keep_fixes(&fixes, &[other], now()).await.expect("kept");
    let removed = store.remove_orphan_blobs(Duration::ZERO).await.expect("run");
    assert_eq!(removed, 1);
    assert_eq!(store.intact_blob(orphan).await.expect("read"), None);
    assert_eq!(store.intact_blob(other).await.expect("read").expect("there"), b"an overlay's");
    let again = fixture.open_again().await;
    assert_eq!(again.known_fix(COMMIT).await.expect("read"), Some(known(blob)));
    assert_eq!(again.intact_blob(blob).await.expect("read").expect("there"), b"a patch");
}

#[tokio::test]
async fn damaged_text_is_seen_and_is_replaced_by_placing_it_again() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let blob = store.place_blob(b"a patch".to_vec()).await.expect("placed");
    assert_eq!(blob.digest, Sha256Digest::of(b"a patch"));
    for damage in ["a pitch", "a"] {
        std::fs::write(path(&fixture, blob), damage).expect("own file");
        assert_eq!(store.intact_blob(blob).await.expect("read"), None, "{damage}");
        store.place_blob(b"a patch".to_vec()).await.expect("placed");
        assert!(store.intact_blob(blob).await.expect("read").is_some(), "{damage}");
    }
    let incoming = fixture.directory.join("blobs/incoming");
    assert_eq!(std::fs::read_dir(incoming).expect("a directory").count(), 0);
}

#[tokio::test]
async fn blob_that_is_placed_again_is_as_young_as_a_new_one() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let blob = store.place_blob(b"a patch".to_vec()).await.expect("placed");
    let file = std::fs::File::open(path(&fixture, blob)).expect("own file");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("own file");
    store.place_blob(b"a patch".to_vec()).await.expect("placed");
    let hour = Duration::from_secs(3600);
    assert_eq!(store.remove_orphan_blobs(hour).await.expect("run"), 0);
}

#[tokio::test]
async fn approved_fix_survives_is_replaced_and_is_withdrawn() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let id = "CVE-2026-1001".parse().expect("a CVE");
    assert_eq!(store.approved_fix(id).await.expect("read"), None);
    let (first, second) = (fixture.keep(b"one").await, fixture.keep(b"two").await);
    assert_eq!(store.approve_fix(&approved(first, "a")).await.expect("kept"), None);
    let before = store.approve_fix(&approved(second, "b")).await.expect("kept");
    assert_eq!(before, Some(first.digest));
    store.remove_orphan_blobs(Duration::ZERO).await.expect("run");
    let again = fixture.open_again().await;
    assert_eq!(again.approved_fixes().await.expect("read"), [approved(second, "b")]);
    assert_eq!(again.approved_fix(id).await.expect("read"), Some(approved(second, "b")));
    assert!(again.intact_blob(second).await.expect("read").is_some());
    assert!(store.withdraw_fix(id).await.expect("done"));
    assert!(!store.withdraw_fix(id).await.expect("done"));
    assert_eq!(again.approved_fix(id).await.expect("read"), None);
}
