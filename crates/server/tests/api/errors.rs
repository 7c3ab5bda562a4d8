use axum::body::Body;
use elivepatch_api::ErrorCode;
use http::{Request, StatusCode};

use crate::support::{Server, api_error};

#[tokio::test]
async fn every_error_has_the_same_form() {
    let server = Server::new().await;
    let get = |path: &str| Request::get(path).body(Body::empty()).expect("a request");
    let cases = [
        (get("/nowhere"), ErrorCode::NotFound),
        (get("/"), ErrorCode::NotFound),
        (get("/api/v2/builds/7"), ErrorCode::NotFound),
        (get("/api/v2/builds/seven"), ErrorCode::NotFound),
        (get("/api/v2/builds/7/module"), ErrorCode::NotFound),
        (get("/api/v2/builds/7/events"), ErrorCode::NotFound),
        (get("/api/v2/builds?limit=none"), ErrorCode::BadRequest),
        (get("/api/v2/builds?limit=0"), ErrorCode::BadRequest),
        (get("/api/v2/builds?state=lost"), ErrorCode::BadRequest),
        (get("/api/v2/builds?page=2"), ErrorCode::BadRequest),
        (get("/worker/v2/leases"), ErrorCode::MethodNotAllowed),
        (
            Request::delete("/api/v2/builds").body(Body::empty()).expect("a request"),
            ErrorCode::MethodNotAllowed,
        ),
        (
            Request::post("/api/v2/builds").body(Body::from("{}")).expect("a request"),
            ErrorCode::BadRequest,
        ),
        (
            Request::post("/api/v2/builds")
                .header("content-type", "multipart/form-data; boundary=B")
                .body(Body::from("--B\r\nnonsense"))
                .expect("a request"),
            ErrorCode::BadRequest,
        ),
    ];
    for (request, code) in cases {
        let what = format!("{} {}", request.method(), request.uri());
        let error = api_error(server.send(request).await).await;
        assert_eq!(error.code, code, "{what}: {error:?}");
    }
}

#[tokio::test]
async fn method_that_is_not_known_is_answered_with_those_that_are() {
    let server = Server::new().await;
    let request = Request::delete("/api/v2/builds").body(Body::empty()).expect("a request");
    let response = server.send(request).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let allow = response.headers().get("allow").expect("the methods").to_str().expect("text");
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[tokio::test]
async fn request_id_of_the_client_is_taken_over_only_when_it_is_harmless() {
    let server = Server::new().await;
    let ids = async |id: &'static str| {
        let request = Request::get("/nowhere").header("x-request-id", id);
        api_error(server.send(request.body(Body::empty()).expect("a request")).await)
            .await
            .request_id
    };
    assert_eq!(ids("run-17.b").await, "run-17.b");
    let replaced = ids("x\" level=error").await;
    assert_eq!(replaced.len(), 32, "{replaced}");
}

#[tokio::test]
async fn what_failed_inside_is_not_told() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build;
    let (lease, client) = server.claim().await;
    let digest = lease.build.config.to_string();
    std::fs::remove_file(server.directory.join("blobs").join(&digest[..2]).join(&digest))
        .expect("removed");
    let error = client.blob(build.config, 9999).await.expect_err("damaged");
    let elivepatch_api::client::ClientError::Api { error, .. } = error else { panic!("{error:?}") };
    assert_eq!(error.code, ErrorCode::Internal);
    assert_eq!(error.message, "the server failed to answer this request");
}
