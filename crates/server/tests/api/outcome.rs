use bytes::Bytes;
use elivepatch_api::{CompleteRequest, ErrorCode, FailRequest, HealthState, ListBuildsQuery};
use elivepatch_model::{BuildState, ElfBuildId, Failure, FailureClass, Sha256Digest};
use elivepatch_signature::TrustedKeys;
use futures::TryStreamExt;

use crate::support::{CONFIG, PATCH, Server, api_error, code, manifest, number, text};

#[tokio::test]
async fn module_and_manifest_of_a_finished_build_are_served() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    let (lease, client) = server.claim().await;
    let module = vec![7; 300_000];
    client.upload_module(Bytes::from(module.clone())).await.expect("uploaded");
    let manifest = manifest(lease.build.key, &module);
    let complete = CompleteRequest { manifest: manifest.clone() };
    client.complete(&complete).await.expect("completed");

    let answer = server.get(&format!("/api/v2/builds/{build}/module")).await;
    let header = |name: &str| answer.headers().get(name).expect("there").to_str().expect("text");
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("content-length"), "300000");
    assert_eq!(header("content-disposition"), "attachment; filename=\"live_patch_.ko\"");
    assert_eq!(header("x-elivepatch-sha256"), Sha256Digest::of(&module).to_string());
    let download = server.client.module(build).await.expect("a module");
    let bytes: Vec<Bytes> = download.body.try_collect().await.expect("all of it");
    assert_eq!(bytes.concat(), module);
    assert_eq!(server.client.manifest(build).await.expect("a manifest").manifest, manifest);
    let shown = server.client.build(build).await.expect("there");
    assert_eq!((shown.state, shown.manifest), (BuildState::Succeeded, Some(manifest)));
    assert!(server.submit("a.patch").await.joined);
}

#[tokio::test]
async fn livepatch_is_found_by_the_build_id_of_its_module_and_its_fixes_are_served() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build;
    let id: ElfBuildId = "ab".repeat(20).parse().expect("a build-id");
    assert_eq!(server.client.livepatch(&id).await.expect("answered"), None);
    let (lease, client) = server.claim().await;
    client.upload_module(Bytes::from_static(b"module")).await.expect("uploaded");
    let mut manifest = manifest(lease.build.key, b"module");
    manifest.module.build_id = Some(id.clone());
    client.complete(&CompleteRequest { manifest: manifest.clone() }).await.expect("completed");

    let found = server.client.livepatch(&id).await.expect("answered").expect("a livepatch");
    assert_eq!((found.build, &found.manifest), (build.number, &manifest));
    let other: ElfBuildId = "cd".repeat(20).parse().expect("a build-id");
    assert_eq!(server.client.livepatch(&other).await.expect("answered"), None);
    let error = api_error(server.get("/api/v2/livepatches/no-build-id").await).await;
    assert_eq!(error.code, ErrorCode::NotFound);

    let text = server.client.patch(build.number, build.fixes[0].digest).await.expect("a patch");
    assert_eq!(&text[..], PATCH.as_bytes());
    // Config and module are in the same store, and are no fixes.
    for digest in [Sha256Digest::of(CONFIG.as_bytes()), Sha256Digest::of(b"module")] {
        assert_eq!(code(server.client.patch(build.number, digest).await), ErrorCode::NotFound);
    }
    let path = server.directory.join("blobs").join(&manifest.module.digest.to_string()[..2]);
    std::fs::remove_file(path.join(manifest.module.digest.to_string())).expect("it was there");
    assert_eq!(server.client.livepatch(&id).await.expect("answered"), None, "its module is gone");
}

#[tokio::test]
async fn signature_is_of_the_very_bytes_of_the_manifest_that_are_sent() {
    let (server, key) = Server::that_signs().await;
    assert_eq!(server.app.manifest_public_key().as_deref(), Some(key.as_str()));
    let build = server.submit("a.patch").await.build.number;
    let path = format!("/api/v2/builds/{build}/manifest.minisig");
    assert_eq!(api_error(server.get(&path).await).await.code, ErrorCode::Conflict);
    let (lease, client) = server.claim().await;
    client.upload_module(Bytes::from_static(b"module")).await.expect("uploaded");
    let manifest = manifest(lease.build.key, b"module");
    client.complete(&CompleteRequest { manifest }).await.expect("completed");

    let sent = text(server.get(&format!("/api/v2/builds/{build}/manifest")).await).await;
    let signature = text(server.get(&path).await).await;
    let keys = TrustedKeys::parse_or_read(&key).expect("a key").expect("one");
    keys.verify(sent.as_bytes(), Some(signature.as_bytes())).expect("it is signed");
    let comment = signature.lines().nth(2).expect("it has one");
    let module = Sha256Digest::of(b"module");
    assert_eq!(
        comment,
        format!("trusted comment: elivepatch manifest of build 1, module sha256 {module}")
    );
    let found = server.client.manifest_signature(build).await.expect("answered").expect("signed");
    let sent = server.client.manifest_text(build).await.expect("answered");
    keys.verify(&sent, Some(&found)).expect("it is signed");

    // A server without a key says so, and the client takes that for an answer.
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    assert_eq!(server.client.manifest_signature(build).await.expect("answered"), None);
    assert_eq!(server.app.manifest_public_key(), None);
}

#[tokio::test]
async fn livepatch_that_is_not_there_is_409_with_what_to_do() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    for what in ["module", "manifest"] {
        let error = api_error(server.get(&format!("/api/v2/builds/{build}/{what}")).await).await;
        assert_eq!(error.code, ErrorCode::Conflict);
        assert!(error.message.contains("build 1 is queued") && error.hint.contains("/events"));
    }
    let (_, client) = server.claim().await;
    let failure = Failure::new(FailureClass::CompileFailed, "no such field", "correct it");
    client.fail(&FailRequest { failure: failure.clone() }).await.expect("failed");
    let error = api_error(server.get(&format!("/api/v2/builds/{build}/module")).await).await;
    assert!(error.message.contains("build 1 is failed"), "{error:?}");
    assert_eq!(server.client.build(build).await.expect("there").failure, Some(failure));
}

#[tokio::test]
async fn builds_are_listed_in_pages() {
    let server = Server::new().await;
    for index in 0..5 {
        let patch = PATCH.replace("TWO", &format!("two {index}"));
        server.try_submit(CONFIG, &[("a.patch", &patch)]).await.expect("submitted");
    }
    server.client.cancel(number(2)).await.expect("cancelled");
    let list = async |query: ListBuildsQuery| {
        let page = server.client.list(&query).await.expect("listed");
        let numbers: Vec<i64> = page.builds.iter().map(|build| build.number.0).collect();
        (numbers, page.next.map(|next| next.0))
    };
    let query = ListBuildsQuery { limit: Some(2), ..ListBuildsQuery::default() };
    assert_eq!(list(query.clone()).await, (vec![5, 4], Some(4)));
    let query = ListBuildsQuery { before: Some(number(4)), limit: Some(3), ..query };
    assert_eq!(list(query.clone()).await, (vec![3, 2, 1], None));
    let query = ListBuildsQuery { state: Some(BuildState::Cancelled), ..query };
    assert_eq!(list(query).await, (vec![2], None));
}

#[tokio::test]
async fn finished_build_cannot_be_cancelled() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    server.client.cancel(build).await.expect("cancelled");
    assert_eq!(code(server.client.cancel(build).await), ErrorCode::Conflict);
    assert_eq!(code(server.client.cancel(number(9)).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn health_says_what_keeps_builds_from_going_on() {
    let server = Server::new().await;
    server.submit("a.patch").await;
    let health = server.client.health().await.expect("answered");
    assert_eq!((health.state, health.queued), (HealthState::Degraded, 1));
    assert!(health.problems[0].contains("no worker"), "{health:?}");
    server.claim().await;
    let health = server.client.health().await.expect("answered");
    assert_eq!((health.state, health.running), (HealthState::Ok, 1));
    assert_eq!(health.workers[0].name, "worker-a");
}

#[tokio::test]
async fn version_and_openapi_document_are_served() {
    let server = Server::new().await;
    assert_eq!(server.client.version().await.expect("answered").name, "elivepatch");
    let document = text(server.get("/api/v2/openapi.json").await).await;
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert!(document["paths"]["/api/v2/builds"]["post"].is_object());
}
