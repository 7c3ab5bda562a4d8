use std::time::Duration;

use elivepatch_model::Sha256Digest;
use elivepatch_store::StoreError;
use tokio::io::AsyncReadExt;

use crate::support::{Fixture, now};

async fn stored(fixture: &Fixture, name: &str) -> Sha256Digest {
    let new = fixture.new_build(name).await;
    fixture.store.submit(&new, 9, now()).await.expect("queued");
    new.patches[0].digest
}

#[tokio::test]
async fn blob_comes_back_as_it_was_written_under_its_digest() {
    let fixture = Fixture::new().await;
    let digest = stored(&fixture, "the text of a patch").await;
    assert_eq!(digest, Sha256Digest::of(b"the text of a patch"));
    let mut reader = fixture.store.open_blob(digest).await.expect("there");
    let mut text = String::new();
    reader.file.read_to_string(&mut text).await.expect("read");
    assert_eq!((text.as_str(), reader.size_bytes), ("the text of a patch", 19));
    let name = digest.to_string();
    assert!(fixture.directory.join("blobs").join(&name[..2]).join(name).exists());
}

#[tokio::test]
async fn missing_and_damaged_blobs_are_told_apart() {
    let fixture = Fixture::new().await;
    let digest = stored(&fixture, "text").await;
    let unknown = fixture.store.open_blob(Sha256Digest::of(b"unknown")).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchBlob(_))), "{unknown:?}");
    let name = digest.to_string();
    let path = fixture.directory.join("blobs").join(&name[..2]).join(name);
    std::fs::write(&path, "tex").expect("cut");
    let cut = fixture.store.open_blob(digest).await.expect_err("cut").to_string();
    assert!(cut.contains("3 bytes instead of 4"), "{cut}");
    std::fs::remove_file(&path).expect("removed");
    let gone = fixture.store.open_blob(digest).await.expect_err("gone").to_string();
    assert!(gone.contains("is missing"), "{gone}");
}

#[tokio::test]
async fn upload_above_its_limit_or_dropped_leaves_nothing() {
    let fixture = Fixture::new().await;
    let mut writer = fixture.store.begin_blob(10).expect("a writer");
    writer.write(b"12345").await.expect("fits");
    let error = writer.write(b"678901").await.expect_err("too much");
    assert!(matches!(error, StoreError::TooLarge { limit: 10 }), "{error:?}");
    drop(writer);
    let upload = fixture.store.begin_blob(10).expect("a writer").finish().await.expect("finished");
    drop(upload);
    assert_eq!(incoming(&fixture), 0);
}

#[tokio::test]
async fn uploads_left_behind_by_a_killed_process_are_removed_when_they_are_old() {
    let fixture = Fixture::new().await;
    let left = fixture.directory.join("blobs/incoming/upload-killed");
    std::fs::write(&left, "half").expect("left");
    let hour = Duration::from_secs(3600);
    assert_eq!(fixture.store.remove_abandoned_uploads(hour).await.expect("run"), 0);
    assert_eq!(fixture.store.remove_abandoned_uploads(Duration::ZERO).await.expect("run"), 1);
    assert_eq!(fixture.store.remove_abandoned_uploads(Duration::ZERO).await.expect("run"), 0);
    assert_eq!(incoming(&fixture), 0);
}

fn incoming(fixture: &Fixture) -> usize {
    std::fs::read_dir(fixture.directory.join("blobs/incoming")).expect("a directory").count()
}

#[tokio::test]
async fn blobs_without_a_record_are_removed_when_they_are_old() {
    let fixture = Fixture::new().await;
    let recorded = stored(&fixture, "recorded").await;
    let orphan = fixture.keep(b"never named").await.digest;
    let foreign = fixture.directory.join("blobs").join("ab");
    std::fs::create_dir_all(&foreign).expect("made");
    std::fs::write(foreign.join("README"), "mine").expect("written");
    let remove = async |age| fixture.store.remove_orphan_blobs(age).await.expect("run");
    assert_eq!(remove(Duration::from_secs(3600)).await, 0, "its record may be on the way");
    assert_eq!(remove(Duration::ZERO).await, 1);
    assert_eq!(remove(Duration::ZERO).await, 0);
    let name = orphan.to_string();
    assert!(!fixture.directory.join("blobs").join(&name[..2]).join(&name).exists());
    assert!(foreign.join("README").exists());
    fixture.store.open_blob(recorded).await.expect("still there");
}
