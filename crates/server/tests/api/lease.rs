use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use elivepatch_api::{
    BuildRequest, ClaimRequest, CompleteRequest, ErrorCode, EventsRequest, FailRequest, LeaseToken,
    client::{NamedPatch, RequestTexts},
};
use elivepatch_model::{
    BuildEvent, BuildKeyInput, BuildOptions, BuildState, Failure, FailureClass, Sha256Digest,
    SourceRecord, Step, StepName, StepState, limits,
};
use elivepatch_server::{WorkerEnd, worker_router};
use http::Request;
use tower::ServiceExt;

use crate::support::{
    CONFIG, PATCH, RELEASE, Server, api_error, build_request, claim_request, code, manifest,
    rebuild_of, text,
};

#[tokio::test]
async fn worker_fetches_config_and_patches_of_its_build_and_nothing_else() {
    let server = Server::new().await;
    server.submit("a.patch").await;
    let (lease, client) = server.claim().await;
    assert_eq!(lease.build.attempt, 1);
    let config = client.blob(lease.build.config, 9999).await.expect("the config");
    let patch = client.blob(lease.build.fixes[0].digest, 9999).await.expect("the patch");
    assert_eq!((&config[..], &patch[..]), (CONFIG.as_bytes(), PATCH.as_bytes()));
    let foreign = client.blob(Sha256Digest::of(b"another build's"), 9999).await;
    assert_eq!(code(foreign), ErrorCode::NotFound);
}

#[tokio::test]
async fn worker_fetches_the_livepatch_that_its_build_replaces_and_nothing_else_by_that_name() {
    let server = Server::new().await;
    let first = server.submit("a.patch").await;
    let (lease, client) = server.claim().await;
    client.upload_module(Bytes::from_static(b"module")).await.expect("uploaded");
    let manifest = manifest(lease.build.key, b"module");
    client.complete(&CompleteRequest { manifest }).await.expect("completed");

    // A request can name only what was made here for its release; a manifest has what it has.
    let module = Sha256Digest::of(b"module");
    let options = |digest| BuildOptions { replaces: Some(digest), ..BuildOptions::default() };
    let patch = NamedPatch { name: "a.patch".to_owned(), content: PATCH.into() };
    let submitted = async |digest, release: &str| {
        let mut request = BuildRequest { options: options(digest), ..build_request() };
        request.target.release = release.parse().expect("a release");
        let patches = std::slice::from_ref(&patch);
        server.client.submit(&request, CONFIG.as_bytes(), patches).await
    };
    let config = Sha256Digest::of(CONFIG.as_bytes());
    assert_eq!(code(submitted(config, RELEASE).await), ErrorCode::NotFound);
    assert_eq!(code(submitted(module, "6.1.0-51-cloud-amd64").await), ErrorCode::NotFound);
    let replacing = submitted(module, RELEASE).await.expect("queued");
    assert!(!replacing.joined, "what it replaces is a part of what it is");
    let (lease, client) = server.claim().await;
    assert_eq!(lease.build.options.replaces, Some(module));
    assert_eq!(&client.blob(module, 9999).await.expect("the module")[..], b"module");
    let fetched = async |digest: Sha256Digest| {
        let mut rebuild = rebuild_of(&first, SourceRecord::default(), "test builder");
        rebuild.request.options = options(digest);
        rebuild.build_key = BuildKeyInput {
            release: &rebuild.request.target.release,
            build_id: None,
            kernel_version: None,
            config: elivepatch_model::KernelConfig::parse(CONFIG.as_bytes())
                .expect("a config")
                .digest(),
            kallsyms: None,
            baseline: &[],
            fixes: &rebuild.fixes,
            checks: &[],
            options: &rebuild.request.options,
            builder: "test builder",
        }
        .key();
        server.client.rebuild(&rebuild, &RequestTexts::default()).await.expect("queued");
        let (lease, client) = server.claim().await;
        assert_eq!(lease.build.options.replaces, Some(digest));
        client.blob(digest, 9999).await
    };
    assert_eq!(&fetched(module).await.expect("the module")[..], b"module");
    let text = Sha256Digest::of(b"a text of another build");
    assert_eq!(code(fetched(text).await), ErrorCode::NotFound);
    let digest = module.to_string();
    let path = server.directory.join("blobs").join(&digest[..2]).join(&digest);
    std::fs::remove_file(path).expect("it was there");
    assert_eq!(code(fetched(module).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn claim_waits_for_work_and_is_woken_by_it() {
    let server = Server::new().await;
    assert!(server.worker.claim(&claim_request(0)).await.expect("asked").is_none());
    let request = claim_request(30);
    let mut best = Duration::MAX;
    // The server looks once a second by itself. A slow disk may make one of them late.
    for patch in ["a.patch", "b.patch", "c.patch"] {
        let (claimed, submitted) =
            tokio::join!(async { (server.worker.claim(&request).await, Instant::now()) }, async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                server.submit(patch).await;
                Instant::now()
            });
        assert!(claimed.0.expect("asked").is_some());
        best = best.min(claimed.1.saturating_duration_since(submitted));
    }
    assert!(best < Duration::from_millis(500), "{best:?}");
    let nameless = ClaimRequest { worker: String::new(), ..claim_request(0) };
    assert_eq!(code(server.worker.claim(&nameless).await), ErrorCode::BadRequest);
}

#[tokio::test]
async fn wrong_token_is_lease_lost_and_a_missing_one_is_malformed() {
    let server = Server::new().await;
    server.submit("a.patch").await;
    let (mut lease, _) = server.claim().await;
    lease.token = LeaseToken("0".repeat(32));
    let stranger = server.worker.leased(&lease);
    assert_eq!(code(stranger.heartbeat().await), ErrorCode::LeaseLost);
    let module = Bytes::from_static(b"module");
    assert_eq!(code(stranger.upload_module(module).await), ErrorCode::LeaseLost);
    assert_eq!(code(stranger.blob(lease.build.config, 9999).await), ErrorCode::LeaseLost);
    let request = Request::post("/worker/v2/builds/1/heartbeat").body(Body::empty());
    let router = worker_router(server.app.clone());
    let answer = router.oneshot(request.expect("a request")).await.expect("answered");
    assert_eq!(api_error(answer).await.code, ErrorCode::BadRequest);
}

#[tokio::test]
async fn worker_cannot_send_states() {
    let server = Server::new().await;
    server.submit("a.patch").await;
    let (_, client) = server.claim().await;
    let at = "2026-11-23T12:00:00Z".parse().expect("a time");
    let event = BuildEvent::State { state: BuildState::Succeeded, at, failure: None };
    let sent = client.events(&EventsRequest { events: vec![event] }).await;
    assert_eq!(code(sent), ErrorCode::BadRequest);
}

#[tokio::test]
async fn manifest_that_does_not_fit_the_module_is_refused() {
    let server = Server::new().await;
    server.submit("a.patch").await;
    let (lease, client) = server.claim().await;
    client.upload_module(Bytes::from_static(b"module")).await.expect("uploaded");
    let complete = |module: &[u8]| CompleteRequest { manifest: manifest(lease.build.key, module) };
    assert_eq!(code(client.complete(&complete(b"other")).await), ErrorCode::BadRequest);
    client.complete(&complete(b"module")).await.expect("completed");
    assert_eq!(code(client.complete(&complete(b"module")).await), ErrorCode::LeaseLost);
}

#[tokio::test]
async fn cancelled_build_is_told_by_heartbeat_and_takes_nothing_more() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    let (_, client) = server.claim().await;
    assert!(!client.heartbeat().await.expect("renewed").cancelled);
    server.client.cancel(build).await.expect("cancelled");
    assert!(client.heartbeat().await.expect("told").cancelled);
    let failure = Failure::new(FailureClass::CompileFailed, "late", "none");
    assert_eq!(code(client.fail(&FailRequest { failure }).await), ErrorCode::LeaseLost);
    let build = server.client.build(build).await.expect("there");
    assert_eq!((build.state, build.failure), (BuildState::Cancelled, None));
}

#[tokio::test]
async fn build_of_a_worker_that_died_is_given_out_again() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    let (_, old) = server.claim().await;
    let released = server.app.release_worker("worker-a", WorkerEnd::Died).await;
    assert_eq!(released.expect("released"), [build]);
    let (lease, _) = server.claim().await;
    assert_eq!((lease.build.number, lease.build.attempt), (build, 2));
    assert_eq!(code(old.heartbeat().await), ErrorCode::LeaseLost);
}

#[tokio::test]
async fn texts_of_a_worker_are_cut_before_they_are_stored() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    let (_, client) = server.claim().await;
    let huge = "x".repeat(800_000);
    let step = Step {
        name: StepName::Compile,
        state: StepState::Failed,
        duration_seconds: None,
        summary: Some(huge.clone()),
    };
    let log = BuildEvent::Log { step: StepName::Compile, line: huge.clone() };
    let events = vec![BuildEvent::Step { step }, log];
    client.events(&EventsRequest { events }).await.expect("added");
    let failure = Failure::new(FailureClass::CompileFailed, &huge, "a\u{1b}[2J")
        .with_details(std::iter::repeat_n(huge.clone(), 9));
    client.fail(&FailRequest { failure }).await.expect("failed");

    let build = server.client.build(build).await.expect("there");
    let failure = build.failure.as_ref().expect("a failure");
    assert_eq!(failure.message.chars().count(), limits::FAILURE_LINE_CHARACTERS + 1);
    assert_eq!((failure.hint.as_str(), failure.details.len()), ("a\u{fffd}[2J", 9));
    assert!(serde_json::to_vec(&build).expect("JSON").len() < 50_000);
    let log = text(server.get("/api/v2/builds/1/events").await).await;
    assert!(log.len() < 100_000, "{} bytes", log.len());
    let list = text(server.get("/api/v2/builds").await).await;
    assert!(list.len() < 4000 && list.contains("compile-failed"), "{list}");
}
