use axum::body::Body;
use elivepatch_api::ErrorCode;
use elivepatch_server::{Reach, public_router};
use http::Request;
use tower::ServiceExt;

use crate::support::{Server, api_error};

/// What a request with these headers is answered.
async fn ask(server: &Server, reach: Reach, headers: &[(&str, &str)]) -> Result<(), ErrorCode> {
    let mut request = Request::get("/api/v2/health");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let router = public_router(server.app.clone(), reach);
    let answer = router.oneshot(request).await.expect("answered");
    if answer.status().is_success() { Ok(()) } else { Err(api_error(answer).await.code) }
}

#[tokio::test]
async fn server_on_loopback_answers_only_to_names_of_loopback() {
    let server = Server::new().await;
    let names =
        ["localhost", "LocalHost:8420", "127.0.0.1:8420", "127.9.9.9", "[::1]:1", "a.localhost"];
    for host in names {
        assert_eq!(ask(&server, Reach::Loopback, &[("host", host)]).await, Ok(()), "{host}");
    }
    for host in ["rebound.example:8420", "localhost.example", "10.0.0.1", "127.0.0.1.example"] {
        let loopback = ask(&server, Reach::Loopback, &[("host", host)]).await;
        assert_eq!(loopback, Err(ErrorCode::Forbidden), "{host}");
        assert_eq!(ask(&server, Reach::Network, &[("host", host)]).await, Ok(()), "{host}");
    }
    let nonsense = ask(&server, Reach::Network, &[("host", "a b")]).await;
    assert_eq!(nonsense, Err(ErrorCode::BadRequest));
    assert_eq!(ask(&server, Reach::Loopback, &[]).await, Ok(()), "in the process");
}

#[tokio::test]
async fn page_of_another_site_is_refused() {
    let server = Server::new().await;
    for reach in [Reach::Loopback, Reach::Network] {
        let host = ("host", "127.0.0.1:8420");
        let own = [host, ("origin", "http://127.0.0.1:8420")];
        assert_eq!(ask(&server, reach, &own).await, Ok(()));
        let others = [
            "https://evil.example",
            "null",
            "http://127.0.0.1:9",
            "127.0.0.1:8420",
            "http://[",
            "",
        ];
        for origin in others {
            let answer = ask(&server, reach, &[host, ("origin", origin)]).await;
            assert_eq!(answer, Err(ErrorCode::Forbidden), "{origin}");
        }
    }
}

#[tokio::test]
async fn page_of_another_site_orders_no_build() {
    let server = Server::new().await;
    let request = Request::post("/api/v2/builds/1/cancel").header("origin", "https://evil.example");
    let answer = server.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(api_error(answer).await.code, ErrorCode::Forbidden, "not even whether it exists");
}
