//! Whoever comes through a proxy is no user of the machine on which the proxy runs.

use axum::body::Body;
use elivepatch_api::ErrorCode;
use elivepatch_model::Role;
use elivepatch_server::{
    Reach,
    app::{NewToken, Store, TokenKind},
    public_router,
};
use http::{Request, Response};
use tower::ServiceExt;

use crate::support::{Server, api_error};

/// What proxies add, in one spelling or another.
const HEADERS: [(&str, &str); 8] = [
    ("X-Forwarded-For", "192.0.2.7"),
    ("x-forwarded-for", ""),
    ("X-Forwarded-Proto", "https"),
    ("X-FORWARDED-HOST", "patches.example"),
    ("Forwarded", "for=192.0.2.7"),
    ("X-Real-IP", "192.0.2.7"),
    ("Via", "1.1 squid"),
    ("via", "HTTP/2.0 patches.example"),
];

async fn ask(
    server: &Server,
    reach: Reach,
    route: (&str, &str),
    headers: &[(&str, &str)],
) -> Response<Body> {
    let (method, path) = route;
    let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let router = public_router(server.app.clone(), reach);
    router.oneshot(request).await.expect("answered")
}

#[tokio::test]
async fn without_tokens_who_comes_through_a_proxy_may_do_nothing() {
    let server = Server::new().await;
    for header in HEADERS {
        for route in [
            ("GET", "/api/v2/builds"),
            ("POST", "/api/v2/builds"),
            ("GET", "/api/v2/audit"),
            ("POST", "/api/v2/assignments"),
            ("DELETE", "/api/v2/holds/all"),
            ("GET", "/api/v2/no/such/path"),
            ("PATCH", "/api/v2/builds"),
            ("POST", "/elivepatch/api/v1.0/get_files"),
            ("GET", "/elivepatch/api/v1.0/send_livepatch"),
        ] {
            let error = api_error(ask(&server, Reach::Loopback, route, &[header]).await).await;
            assert_eq!(error.code, ErrorCode::Forbidden, "{route:?} {header:?}");
            assert!(error.message.contains("came through a proxy"), "{error:?}");
            assert!(error.message.contains(&header.0.to_lowercase()), "{error:?}");
            assert!(error.hint.contains("tokens = \"always\" under [access]"), "{error:?}");
        }
    }
    assert_eq!(server.stored_files(), 0);
}

#[tokio::test]
async fn what_tells_nothing_is_answered_through_a_proxy_too() {
    let server = Server::new().await;
    for path in ["/api/v2/health", "/api/v2/version"] {
        let answer = ask(&server, Reach::Loopback, ("GET", path), &HEADERS).await;
        assert_eq!(answer.status(), 200, "{path}");
    }
    // One that comes without a proxy, whatever else it sends.
    let headers = [("X-Requested-With", "x"), ("User-Agent", "Via")];
    let answer = ask(&server, Reach::Loopback, ("GET", "/api/v2/builds"), &headers).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn tokens_are_good_through_a_proxy() {
    let server = Server::new().await;
    let store = Store::open(&server.directory).await.expect("a second one");
    let new = NewToken {
        kind: TokenKind::Credential,
        role: Role::Read,
        name: "ci".to_owned(),
        host: None,
        tags: vec![],
        expires_at: None,
    };
    let now = jiff::Timestamp::now();
    let token = store.create_token(&new, "root on the server", now).await.expect("made");
    let authorization = format!("Bearer {}", token.reveal());
    let headers = [HEADERS[0], ("Authorization", authorization.as_str())];
    for reach in [Reach::Loopback, Reach::GuardedLoopback, Reach::Network] {
        let builds = ask(&server, reach, ("GET", "/api/v2/builds"), &headers).await;
        assert_eq!(builds.status(), 200, "{reach:?}");
        // Of the token's role, and no administrator.
        let audit = ask(&server, reach, ("GET", "/api/v2/audit"), &headers).await;
        assert_eq!(audit.status(), 403, "{reach:?}");
    }
    for reach in [Reach::GuardedLoopback, Reach::Network] {
        let builds = ask(&server, reach, ("GET", "/api/v2/builds"), &HEADERS).await;
        assert_eq!(builds.status(), 401, "{reach:?}");
        // Clients of v1.0 have none: where tokens are wanted, v1.0 is on because somebody said so.
        let agent = ask(&server, reach, ("GET", "/elivepatch/api/v1.0/agent"), &HEADERS).await;
        assert_eq!(agent.status(), 200, "{reach:?}");
    }
}
