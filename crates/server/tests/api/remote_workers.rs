//! Workers on other machines: who may be one, and what the server takes from it.

use std::sync::Arc;

use axum::{extract::Request, middleware};
use bytes::Bytes;
use elivepatch_api::{
    ClaimRequest, CompleteRequest, ErrorCode, LEASE_HEADER,
    client::{Client, ClientError},
};
use elivepatch_model::{
    BuildState, BuilderIdentity, BuilderStamp, Role, Sha256Digest, SourceIdentity,
};
use elivepatch_server::{Reach, RouterTransport, WorkerEnd, public_router};

use crate::{
    access::Guarded,
    support::{PATCH, Server, api_error, builder_identity, claim_request, code, manifest, text},
};

/// The routes for workers: written down here again, so that a change of the server's table is seen.
const ROUTES: &[(&str, &str)] = &[
    ("POST", "/worker/v2/leases"),
    ("POST", "/worker/v2/builds/7/heartbeat"),
    ("POST", "/worker/v2/builds/7/events"),
    ("PUT", "/worker/v2/builds/7/module"),
    ("POST", "/worker/v2/builds/7/complete"),
    ("POST", "/worker/v2/builds/7/complete-probe"),
    ("POST", "/worker/v2/builds/7/fail"),
    ("POST", "/worker/v2/builds/7/release"),
    ("GET", "/worker/v2/builds/7/blobs/7"),
];

/// Where requests may come from.
const REACHES: [Reach; 3] = [Reach::Loopback, Reach::GuardedLoopback, Reach::Network];

impl Guarded {
    /// A client that comes over the network with this token.
    fn with_token(&self, token: &str) -> Client {
        let value: http::HeaderValue = format!("Bearer {token}").parse().expect("a header");
        let add = move |mut request: Request| {
            let value = value.clone();
            async move {
                request.headers_mut().insert("authorization", value);
                request
            }
        };
        let router = public_router(self.server.app.clone(), Reach::Network);
        Client::new(Arc::new(RouterTransport::new(router.layer(middleware::map_request(add)))))
    }
}

/// Has a claim refused, and gives the message and the hint.
async fn refusal(client: &Client, claim: &ClaimRequest, expected: ErrorCode) -> (String, String) {
    match client.claim(claim).await {
        Err(ClientError::Api { error, .. }) if error.code == expected => {
            (error.message, error.hint)
        }
        other => panic!("not {expected:?}: {other:?}"),
    }
}

#[tokio::test]
async fn only_a_workers_token_opens_a_workers_route_also_on_the_servers_own_machine() {
    let guarded = Guarded::new().await;
    let mut others = vec![guarded.enrol("web-1").await.token];
    for role in [Role::Read, Role::Submit, Role::Admin] {
        others.push(guarded.credential(role).await);
    }
    let worker = guarded.credential(Role::Worker).await;
    for reach in REACHES {
        for (method, path) in ROUTES {
            let missing = api_error(guarded.ask(reach, method, path, None).await).await;
            assert_eq!(missing.code, ErrorCode::Unauthorized, "{reach:?} {method} {path}");
            assert!(missing.hint.contains("token create --role worker"), "{missing:?}");
            for token in &others {
                let error = api_error(guarded.ask(reach, method, path, Some(token)).await).await;
                assert_eq!(error.code, ErrorCode::Forbidden, "{reach:?} {method} {path}");
                assert!(error.message.starts_with("this needs the role worker; "), "{error:?}");
                assert!(error.hint.contains("token create --role worker"), "{error:?}");
            }
            let answer = guarded.ask(reach, method, path, Some(&worker)).await;
            let status = answer.status().as_u16();
            let what = format!("{reach:?} {method} {path}: {status}");
            // It has come to the handler, which misses a body or a lease.
            assert!(matches!(status, 400 | 404 | 415), "{what}");
            assert!(!text(answer).await.contains("there is nothing at this path"), "{what}");
        }
    }
}

#[tokio::test]
async fn worker_of_another_machine_builds_over_the_network() {
    let guarded = Guarded::new().await;
    let client = guarded.with_token(&guarded.credential(Role::Worker).await);
    assert_eq!(client.claim(&claim_request(0)).await.expect("asked"), None);
    let number = guarded.server.submit("a.patch").await.build.number;
    let lease = client.claim(&claim_request(5)).await.expect("asked").expect("a build");
    assert_eq!(lease.build.number, number);
    let leased = client.leased(&lease);
    let patch = leased.blob(lease.build.fixes[0].digest, 9999).await.expect("the patch");
    assert_eq!(&patch[..], PATCH.as_bytes());
    assert!(!leased.heartbeat().await.expect("renewed").cancelled);
    leased.upload_module(Bytes::from_static(b"module")).await.expect("uploaded");
    let manifest = manifest(lease.build.key, b"module");
    leased.complete(&CompleteRequest { manifest }).await.expect("completed");
    let build = guarded.server.client.build(number).await.expect("there");
    assert_eq!(build.state, BuildState::Succeeded);
}

#[tokio::test]
async fn token_of_the_lease_is_needed_beside_the_workers() {
    let guarded = Guarded::new().await;
    let worker = guarded.credential(Role::Worker).await;
    guarded.server.submit("a.patch").await;
    let client = guarded.with_token(&worker);
    let lease = client.claim(&claim_request(0)).await.expect("asked").expect("a build");
    let path = format!("/worker/v2/builds/{}/heartbeat", lease.build.number);
    let error = api_error(guarded.ask(Reach::Network, "POST", &path, Some(&worker)).await).await;
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert_eq!(error.message, "the token of the lease is missing");
    assert!(error.hint.contains(LEASE_HEADER), "{error:?}");
    // Another worker with another lease's secret changes nothing.
    let mut forged = lease.clone();
    forged.token = elivepatch_api::LeaseToken("0".repeat(32));
    let other = guarded.with_token(&guarded.credential(Role::Worker).await);
    assert_eq!(code(other.leased(&forged).heartbeat().await), ErrorCode::LeaseLost);
}

#[tokio::test]
async fn worker_that_was_revoked_changes_nothing_more() {
    let guarded = Guarded::new().await;
    let token = guarded.token(elivepatch_server::app::TokenKind::Credential, Role::Worker).await;
    let client = guarded.with_token(&token.reveal());
    guarded.server.submit("a.patch").await;
    let lease = client.claim(&claim_request(0)).await.expect("asked").expect("a build");
    let leased = client.leased(&lease);
    leased.heartbeat().await.expect("renewed");
    let now = jiff::Timestamp::now();
    guarded.store.revoke_token(token.id(), "root on the server", now).await.expect("revoked");
    assert_eq!(code(leased.heartbeat().await), ErrorCode::Unauthorized);
    let module = Bytes::from_static(b"module");
    assert_eq!(code(leased.upload_module(module).await), ErrorCode::Unauthorized);
    assert_eq!(code(client.claim(&claim_request(0)).await), ErrorCode::Unauthorized);
}

#[tokio::test]
async fn build_that_is_given_back_waits_again_and_has_lost_no_attempt() {
    let server = Server::new().await;
    let number = server.submit("a.patch").await.build.number;
    for attempt in 1..=9 {
        let (lease, client) = server.claim().await;
        assert_eq!((lease.build.number, lease.build.attempt), (number, attempt));
        client.upload_module(Bytes::from_static(b"module")).await.expect("uploaded");
        client.release().await.expect("given back");
        let build = server.client.build(number).await.expect("there");
        assert_eq!((build.state, build.failure), (BuildState::Queued, None), "{attempt}");
        assert_eq!(code(client.release().await), ErrorCode::LeaseLost);
        let manifest = manifest(lease.build.key, b"module");
        let late = client.complete(&CompleteRequest { manifest }).await;
        assert_eq!(code(late), ErrorCode::LeaseLost);
    }
}

#[tokio::test]
async fn worker_of_another_machine_cannot_take_the_name_of_one_inside_or_of_another_token() {
    let guarded = Guarded::new().await;
    guarded.server.submit("a.patch").await;
    let token = guarded.token(elivepatch_server::app::TokenKind::Credential, Role::Worker).await;
    let client = guarded.with_token(&token.reveal());
    let claim = ClaimRequest { worker: "in-process-1".to_owned(), ..claim_request(0) };
    let lease = client.claim(&claim).await.expect("asked").expect("a build");
    // As the server does when it starts anew.
    guarded.server.app.release_worker("in-process-1", WorkerEnd::Died).await.expect("released");
    client.leased(&lease).heartbeat().await.expect("it has the build still");
    let other = guarded.with_token(&guarded.credential(Role::Worker).await);
    assert_eq!(other.claim(&claim).await.expect("asked"), None);
    let health = guarded.server.client.health().await.expect("an answer");
    // Two of them, and everybody may see that: no id of a token is in it.
    let names: Vec<&str> = health.workers.iter().map(|worker| worker.name.as_str()).collect();
    assert_eq!(names, ["in-process-1", "in-process-1"]);
}

#[tokio::test]
async fn worker_with_another_builder_gets_no_build_and_is_told_what_is_different() {
    let guarded = Guarded::new().await;
    guarded.server.submit("a.patch").await;
    let client = guarded.with_token(&guarded.credential(Role::Worker).await);
    let claim =
        |identity: &BuilderIdentity| ClaimRequest { builder: identity.stamp(), ..claim_request(0) };
    let own = builder_identity();
    let older = BuilderIdentity { common: "0.0.9+f00 builder".to_owned(), ..own.clone() };
    let (message, hint) = refusal(&client, &claim(&older), ErrorCode::Conflict).await;
    assert_eq!(message, "the worker has elivepatch-server 0.0.9+f00, the server test");
    assert_eq!(hint, "install the server's version on the worker's machine");
    let signing = BuilderIdentity { common: "test builder signer 7".to_owned(), ..own.clone() };
    let (message, hint) = refusal(&client, &claim(&signing), ErrorCode::Conflict).await;
    assert!(message.contains("toolchain recipes, or the key"), "{message}");
    assert!(hint.contains("[signing]"), "{hint}");
    let stricter = BuilderIdentity { rules: "header_objects 7".to_owned(), ..own.clone() };
    let (message, hint) = refusal(&client, &claim(&stricter), ErrorCode::Conflict).await;
    assert_eq!(
        message,
        "the worker's config has header_objects 7, the server's has header_objects 2000"
    );
    assert!(hint.contains("[policy]"), "{hint}");
    let source = SourceIdentity::Tree {
        release: "6.12.1-own".parse().expect("a release"),
        digest: Sha256Digest::of(b"another tree"),
    };
    let elsewhere = BuilderIdentity { sources: vec![source], ..own.clone() };
    let (message, hint) = refusal(&client, &claim(&elsewhere), ErrorCode::Conflict).await;
    assert_eq!(message, "the worker's sources of kernels are not the server's");
    assert!(hint.contains("[[source]]"), "{hint}");
    let long = BuilderStamp {
        common: "9".repeat(100_000),
        sources: Sha256Digest::of(b""),
        rules: String::new(),
    };
    let claim_of_long = ClaimRequest { builder: long, ..claim_request(0) };
    let (message, _) = refusal(&client, &claim_of_long, ErrorCode::Conflict).await;
    assert!(message.len() < 300, "{}", message.len());
    assert!(client.claim(&claim(&own)).await.expect("asked").is_some());
}
