//! The REST API v1.0, with what the client of the first elivepatch puts on the wire and with what strangers might.

mod access;
mod hostile;
mod room;
mod sessions;
mod wire;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use elivepatch_api::CompleteRequest;
use elivepatch_api::v1::V1ErrorBody;
use elivepatch_server::{App, Reach, public_router};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::support::{CONFIG, PATCH, RELEASE, Server, manifest, text};

const GET_FILES: &str = "/elivepatch/api/v1.0/get_files";
const SEND_LIVEPATCH: &str = "/elivepatch/api/v1.0/send_livepatch";
const SESSION: &str = "6b7f3c1e-0f5d-4a2b-9c3d-1e2f3a4b5c6d";
const OTHER_SESSION: &str = "0e8dd2a1-4f0c-4d2e-8a51-7b1f0c9d2e3a";
const MODULE: &[u8] = b"\x7fELF a module";

/// A part as Python's requests writes it for this client: name, file name, content.
type OldPart<'a> = (&'a str, &'a str, &'a [u8]);

/// What the client sends for a stock kernel with one patch.
const PARTS: [OldPart<'static>; 2] =
    [("main_patch", "main.patch", PATCH.as_bytes()), ("config", "config", CONFIG.as_bytes())];

fn body_of(parts: &[OldPart<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file_name, content) in parts {
        body.extend_from_slice(
            format!(
                "--f00\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
                 Content-Type: multipart/form-data\r\nExpires: 0\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--f00--\r\n");
    body
}

fn order(version: &str, session: &str, parts: &[OldPart<'_>]) -> Request<Body> {
    Request::post(GET_FILES)
        .header("KernelVersion", version)
        .header("UUID", session)
        .header("Content-Type", "multipart/form-data; boundary=f00")
        .body(Body::from(body_of(parts)))
        .expect("a request")
}

fn fetch_with(body: impl Into<Body>) -> Request<Body> {
    Request::get(SEND_LIVEPATCH)
        .header("Content-Type", "application/json")
        .body(body.into())
        .expect("a request")
}

fn fetch(session: &str) -> Request<Body> {
    fetch_with(json!({ "KernelVersion": RELEASE, "UUID": session }).to_string())
}

/// Sends an order whose answer comes when its build has ended.
fn send(app: &App, request: Request<Body>) -> JoinHandle<Response<Body>> {
    let router = public_router(app.clone(), Reach::Loopback);
    tokio::spawn(async move { router.oneshot(request).await.expect("a router always answers") })
}

async fn answered(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let text = text(response).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
}

/// An answer that is an error, in the form of both APIs.
async fn refused(response: Response<Body>) -> (StatusCode, V1ErrorBody) {
    let (status, body) = answered(response).await;
    let body: V1ErrorBody = serde_json::from_value(body).expect("the form of errors");
    assert_eq!(body.error.code.status(), status.as_u16());
    assert_eq!(body.message, body.error.message);
    assert!(!body.message.is_empty() && !body.error.hint.is_empty());
    (status, body)
}

/// Waits until a session has ordered: the build is in the queue a moment before.
async fn has_ordered(server: &Server, session: &str) {
    let session = session.parse().expect("a UUID");
    while !server.app.knows_session(&session).await.expect("asked") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for the build of an order, and finishes it.
async fn finish_build(server: &Server) {
    let (lease, worker) = server.claim_soon().await;
    worker.upload_module(Bytes::from_static(MODULE)).await.expect("uploaded");
    let manifest = manifest(lease.build.key, MODULE);
    worker.complete(&CompleteRequest { manifest }).await.expect("completed");
}
