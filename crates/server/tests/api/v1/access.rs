//! Who is answered, and what is not given out.

use axum::body::Body;
use elivepatch_api::ErrorCode;
use elivepatch_server::{Reach, public_router};
use http::{Request, StatusCode};
use serde_json::json;
use tower::ServiceExt;

use super::{
    GET_FILES, OTHER_SESSION, PARTS, SEND_LIVEPATCH, SESSION, fetch, finish_build, order, refused,
    send,
};
use crate::support::{RELEASE, Server, text};

#[tokio::test]
async fn withdrawn_livepatch_is_not_given_out() {
    let server = Server::new().await;
    let waiting = send(&server.app, order(RELEASE, SESSION, &PARTS));
    finish_build(&server).await;
    waiting.await.expect("no panic");
    let body = json!({ "build": 1, "reason": "it hangs" }).to_string();
    let withdraw = Request::post("/api/v2/withdrawals").header("content-type", "application/json");
    let withdrawn = server.send(withdraw.body(Body::from(body)).expect("a request")).await;
    assert!(withdrawn.status().is_success(), "{}", text(withdrawn).await);
    // Nor is an equal order answered as if there were one.
    for request in [fetch(SESSION), order(RELEASE, OTHER_SESSION, &PARTS), fetch(OTHER_SESSION)] {
        let (status, body) = refused(server.send(request).await).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(body.error.hint.contains("was withdrawn: it hangs"), "{body:?}");
    }
}

#[tokio::test]
async fn livepatch_that_replaces_nothing_is_not_assigned_to_hosts() {
    let server = Server::new().await;
    let waiting = send(&server.app, order(RELEASE, SESSION, &PARTS));
    finish_build(&server).await;
    waiting.await.expect("no panic");
    let body = json!({ "build": 1, "whom": { "tag": "web" } }).to_string();
    let assign = Request::post("/api/v2/assignments").header("content-type", "application/json");
    let answer = server.send(assign.body(Body::from(body)).expect("a request")).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let told = text(answer).await;
    assert!(told.contains("loads beside others and replaces none"), "{told}");
}

#[tokio::test]
async fn switched_off_it_answers_every_path_with_how_to_switch_it_on() {
    let server = Server::without_v1().await;
    let post = |path: &str| Request::post(path).body(Body::empty()).expect("a request");
    let get = |path: &str| Request::get(path).body(Body::empty()).expect("a request");
    for request in [
        get("/elivepatch/api/"),
        get("/elivepatch/api/v1.0/agent"),
        get(GET_FILES),
        post(GET_FILES),
        order(RELEASE, SESSION, &PARTS),
        fetch(SESSION),
        post(SEND_LIVEPATCH),
    ] {
        for reach in [Reach::Loopback, Reach::Network] {
            let path = request.uri().path().to_owned();
            let again = Request::builder().method(request.method()).uri(&path);
            let router = public_router(server.app.clone(), reach);
            let again = again.body(Body::empty()).expect("a request");
            let (status, body) = refused(router.oneshot(again).await.expect("answered")).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
            assert!(body.message.contains("REST API v1.0 is switched off"), "{path}: {body:?}");
            assert!(body.error.hint.contains("v1 = true under [compat]"), "{path}: {body:?}");
        }
    }
    assert_eq!(server.stored_files(), 0);
}

#[tokio::test]
async fn switched_on_where_tokens_are_wanted_it_opens_nothing_but_itself() {
    let server = Server::new().await;
    let router = || public_router(server.app.clone(), Reach::Network);
    let waiting = {
        let router = router();
        let request = order(RELEASE, SESSION, &PARTS);
        tokio::spawn(async move { router.oneshot(request).await.expect("answered") })
    };
    finish_build(&server).await;
    assert_eq!(waiting.await.expect("no panic").status(), StatusCode::CREATED);
    assert_eq!(router().oneshot(fetch(SESSION)).await.expect("answered").status(), StatusCode::OK);
    for path in ["/api/v2/builds", "/api/v2/builds/1/module", "/elivepatch/api/v1.0/other"] {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router().oneshot(request).await.expect("answered");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn page_of_another_site_orders_nothing() {
    let server = Server::new().await;
    let mut request = order(RELEASE, SESSION, &PARTS);
    request.headers_mut().insert("origin", "https://evil.example".parse().expect("a value"));
    let (status, body) = refused(server.send(request).await).await;
    assert_eq!((status, body.error.code), (StatusCode::FORBIDDEN, ErrorCode::Forbidden));
    assert_eq!(server.stored_files(), 0);
}
