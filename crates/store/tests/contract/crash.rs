use elivepatch_model::BuildState;
use elivepatch_store::{Store, StoreError};

use crate::support::{Fixture, key, log, manifest, now, proof};

#[tokio::test]
async fn what_was_answered_is_there_after_the_process_is_gone() {
    let fixture = Fixture::new().await;
    let (done, running) = (fixture.queue("done").await, fixture.queue("running").await);
    let claimed = fixture.claim().await;
    let module = fixture.keep(b"module").await;
    fixture.store.set_module(&proof(&claimed), module, now()).await.expect("set");
    let manifest = manifest(key("done"), module);
    fixture.store.complete(&proof(&claimed), &manifest, now()).await.expect("completed");
    let unfinished = fixture.claim().await;
    fixture.store.add_events(&proof(&unfinished), &[log("one")], now()).await.expect("added");

    // A copy of the files as they are now, without any closing: what a kill would leave.
    let copy = tempfile::tempdir().expect("a directory");
    let copied = std::process::Command::new("cp")
        .args(["-a", &format!("{}/.", fixture.directory)])
        .arg(copy.path())
        .status();
    assert!(copied.expect("cp runs").success());
    let directory = camino::Utf8Path::from_path(copy.path()).expect("UTF-8");
    let store = Store::open(directory).await.expect("opens");

    let build = store.build(done).await.expect("there");
    assert_eq!((build.state, build.manifest), (BuildState::Succeeded, Some(manifest)));
    assert_eq!(store.open_blob(module.digest).await.expect("there").size_bytes, 6);
    assert_eq!(store.build(running).await.expect("there").state, BuildState::Running);
    let events = store.events(running, 2, 9).await.expect("read");
    assert_eq!(events.len(), 1);
    store.add_events(&proof(&unfinished), &[log("two")], now()).await.expect("the lease lives on");
}

#[tokio::test]
async fn transaction_that_is_cut_off_leaves_the_state_of_before() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let claimed = fixture.claim().await;
    let many: Vec<_> = (0..500).map(|index| log(&index.to_string())).collect();
    // Drops the call at many different points of its way.
    for step in 0..40 {
        let cut = std::time::Duration::from_micros(step * 250);
        let proof = proof(&claimed);
        let call = fixture.store.add_events(&proof, &many, now());
        let _ = tokio::time::timeout(cut, call).await;
        let events = fixture.store.events(number, 0, 100_000).await.expect("read");
        assert_eq!((events.len() - 2) % 500, 0, "all events of a call or none");
        assert_eq!(events.last().map(|last| last.sequence), Some(events.len() as i64));
    }
    fixture.store.add_events(&proof(&claimed), &many, now()).await.expect("the store still works");
}

#[tokio::test]
async fn database_of_a_newer_version_is_refused_by_name() {
    let fixture = Fixture::new().await;
    fixture.store.close().await;
    let path = fixture.directory.join("elivepatch.sqlite3");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("opens");
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', TRUE, x'00', 0)",
    )
    .execute(&pool)
    .await
    .expect("inserted");
    pool.close().await;
    let error = Store::open(&fixture.directory).await.expect_err("newer");
    assert!(matches!(error, StoreError::Newer { migration: 9999, .. }), "{error:?}");
    assert!(error.to_string().contains(path.as_str()), "{error}");
}
