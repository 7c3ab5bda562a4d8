//! Who may ask for what, by route and role, through the router as it is served to other machines.

use std::collections::BTreeMap;

use axum::body::Body;
use elivepatch_api::{
    ApiError, AuditLog, EnrolmentAnswer, EnrolmentRequest, ErrorCode, client::Client,
};
use elivepatch_model::{AccessToken, Architecture, Role, TargetFacts, Whom};
use elivepatch_server::{
    Reach, RouterTransport,
    app::{NewToken, Store, TokenKind},
    openapi_document, public_router,
};
use http::{Request, Response};
use tower::ServiceExt;

use crate::support::{RELEASE, Server, api_error, text};

/// A server with a store that is open beside it, as the command line's is.
pub struct Guarded {
    pub server: Server,
    pub store: Store,
}

impl Guarded {
    pub async fn new() -> Self {
        let server = Server::new().await;
        let store = Store::open(&server.directory).await.expect("a second one");
        Self { server, store }
    }

    pub async fn token(&self, kind: TokenKind, role: Role) -> AccessToken {
        let new = NewToken {
            kind,
            role,
            name: "ci".to_owned(),
            host: None,
            tags: vec!["web".parse().expect("a tag")],
            expires_at: None,
        };
        let now = jiff::Timestamp::now();
        self.store.create_token(&new, "root on the server", now).await.expect("made")
    }

    pub async fn credential(&self, role: Role) -> String {
        self.token(TokenKind::Credential, role).await.reveal()
    }

    pub async fn ask(
        &self,
        reach: Reach,
        method: &str,
        path: &str,
        token: Option<&str>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::empty()).expect("a request");
        let router = public_router(self.server.app.clone(), reach);
        router.oneshot(request).await.expect("answered")
    }

    async fn refusal(&self, method: &str, path: &str, token: Option<&str>) -> ApiError {
        api_error(self.ask(Reach::Network, method, path, token).await).await
    }

    pub async fn enrol(&self, name: &str) -> EnrolmentAnswer {
        let token = self.token(TokenKind::Enrolment, Role::Host).await.reveal();
        self.client().enrol(&token, &enrolment(name)).await.expect("enrolled")
    }

    fn client(&self) -> Client {
        let router = public_router(self.server.app.clone(), Reach::Network);
        Client::new(std::sync::Arc::new(RouterTransport::new(router)))
    }
}

fn enrolment(name: &str) -> EnrolmentRequest {
    EnrolmentRequest {
        name: name.parse().expect("a name"),
        target: TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64),
    }
}

/// Who may use the routes of the document: written down here again, so that a change of the server's table is
/// seen. `-`: without a token; `h`: a host, about nothing that is its own.
const ALLOWED: &[(&str, &str)] = &[
    ("GET /api/v2/health", "- read submit admin worker h"),
    ("POST /api/v2/enrolments", ""),
    ("GET /api/v2/version", "read submit admin worker h"),
    ("GET /api/v2/openapi.json", "read submit admin"),
    ("GET /api/v2/builds", "read submit admin"),
    ("POST /api/v2/builds", "submit admin"),
    ("GET /api/v2/builds/7", "read submit admin"),
    ("POST /api/v2/builds/7/cancel", "submit admin"),
    ("GET /api/v2/builds/7/events", "read submit admin"),
    ("GET /api/v2/builds/7/module", "read submit admin"),
    ("GET /api/v2/builds/7/manifest", "read submit admin"),
    ("GET /api/v2/builds/7/manifest.minisig", "read submit admin"),
    ("GET /api/v2/builds/7/patches/7", "read submit admin"),
    ("GET /api/v2/livepatches/7", "read submit admin"),
    ("POST /api/v2/rebuilds", "submit admin"),
    ("POST /api/v2/assessments", "read submit admin"),
    ("GET /api/v2/cve-runs", "read submit admin"),
    ("POST /api/v2/cve-runs", "submit admin"),
    ("GET /api/v2/cve-runs/7", "read submit admin"),
    ("POST /api/v2/cve-runs/7/cancel", "submit admin"),
    ("GET /api/v2/audit", "admin"),
    ("GET /api/v2/hosts", "read submit admin"),
    ("GET /api/v2/hosts/web-2", "read submit admin"),
    ("DELETE /api/v2/hosts/web-2", "admin"),
    ("PUT /api/v2/hosts/web-2/report", "admin"),
    ("PUT /api/v2/hosts/web-2/tags", "admin"),
    ("PUT /api/v2/hosts/web-2/hold", "admin"),
    ("DELETE /api/v2/hosts/web-2/hold", "admin"),
    ("GET /api/v2/holds", "read submit admin"),
    ("PUT /api/v2/holds/all", "admin"),
    ("DELETE /api/v2/holds/all", "admin"),
    ("PUT /api/v2/holds/tags/web", "admin"),
    ("DELETE /api/v2/holds/tags/web", "admin"),
    ("GET /api/v2/assignments", "read submit admin"),
    ("POST /api/v2/assignments", "admin"),
    ("DELETE /api/v2/assignments/7", "admin"),
    ("GET /api/v2/withdrawals", "read submit admin"),
    ("POST /api/v2/withdrawals", "admin"),
    ("DELETE /api/v2/withdrawals/7", "admin"),
    ("GET /api/v2/exposure", "read submit admin"),
];

/// The routes of the document, with something in the place of their variable parts.
fn routes() -> Vec<String> {
    let document = serde_json::to_value(openapi_document()).expect("it has a JSON form");
    let paths = document["paths"].as_object().expect("an object");
    let routes = paths.iter().flat_map(|(path, methods)| {
        let path = ["{number}", "{id}", "{build}", "{build_id}", "{digest}"]
            .iter()
            .fold(path.clone(), |path, part| path.replace(part, "7"));
        let path = path.replace("{name}", "web-2").replace("{tag}", "web");
        let methods = methods.as_object().expect("an object").keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    routes.chain(["GET /api/v2/openapi.json".to_owned()]).collect()
}

#[tokio::test]
async fn each_role_may_use_its_routes_and_no_others() {
    let guarded = Guarded::new().await;
    let allowed: BTreeMap<&str, &str> = ALLOWED.iter().copied().collect();
    let mut callers = vec![("-", None)];
    for role in [Role::Read, Role::Submit, Role::Admin, Role::Worker] {
        callers.push((role.as_str(), Some(guarded.credential(role).await)));
    }
    callers.push(("h", Some(guarded.enrol("web-1").await.token)));
    let mut seen = 0;
    for route in routes() {
        let (method, path) = route.split_once(' ').expect("a method and a path");
        let allowed = allowed.get(route.as_str()).unwrap_or_else(|| panic!("{route}: not here"));
        for (who, token) in &callers {
            let answer = guarded.ask(Reach::Network, method, path, token.as_deref()).await;
            let status = answer.status().as_u16();
            let expected = match (allowed.split(' ').any(|name| name == *who), *who) {
                // What the handler makes of a request without a body, or of a build that is not there, is its own.
                (true, _) => {
                    assert!(!matches!(status, 401 | 403), "{route} as {who}: {status}");
                    continue;
                }
                // It looks at the token itself, after the form.
                (false, _) if path.ends_with("/enrolments") => {
                    assert!(matches!(status, 400 | 401), "{route} as {who}: {status}");
                    continue;
                }
                (false, "-") => ErrorCode::Unauthorized,
                (false, _) => ErrorCode::Forbidden,
            };
            let error = api_error(answer).await;
            assert_eq!(error.code, expected, "{route} as {who}: {error:?}");
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} requests were refused");
}

#[tokio::test]
async fn refusals_say_what_is_needed_and_what_was_there() {
    let guarded = Guarded::new().await;
    let read = guarded.credential(Role::Read).await;
    let missing = guarded.refusal("GET", "/api/v2/builds", None).await;
    assert_eq!(missing.message, "this server wants a token with each request");
    assert!(missing.hint.contains("--token-file"), "{missing:?}");
    let error = guarded.refusal("POST", "/api/v2/builds", Some(&read)).await;
    assert_eq!(error.message, "this needs the role submit; the token has the role read");
    assert_eq!(
        error.hint,
        "on the server: elivepatch-server token create --role submit; give it with --token-file FILE"
    );
    let host = guarded.enrol("web-1").await.token;
    let error = guarded.refusal("GET", "/api/v2/builds/7/module", Some(&host)).await;
    assert!(error.message.ends_with("this is the token of the host web-1"), "{error:?}");
    let answer = guarded.ask(Reach::Network, "GET", "/api/v2/builds", None).await;
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn wrong_tokens_are_all_answered_the_same_whether_their_id_exists_or_not() {
    let guarded = Guarded::new().await;
    let real = guarded.credential(Role::Admin).await;
    let wrong_secret = format!("{}{}", &real[..real.len() - 64], "0".repeat(64));
    let wrong_id = format!("elp_000000000000{}", &real[real.len() - 65..]);
    let mut answers = Vec::new();
    for wrong in [&wrong_secret, &wrong_id, "", "x", &real[1..], &real.to_uppercase()] {
        for (method, path) in [("GET", "/api/v2/builds"), ("GET", "/api/v2/nothing/here")] {
            let error = guarded.refusal(method, path, Some(wrong)).await;
            answers.push((error.code, error.message, error.hint));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].0, ErrorCode::Unauthorized);
}

#[tokio::test]
async fn whoever_has_the_secret_is_told_why_it_is_not_good_any_more() {
    let guarded = Guarded::new().await;
    let token = guarded.token(TokenKind::Credential, Role::Admin).await;
    let ask = async || guarded.refusal("GET", "/api/v2/nothing", Some(&token.reveal())).await;
    assert_eq!(ask().await.code, ErrorCode::NotFound, "it is good");
    guarded.store.revoke_token(token.id(), "ada", jiff::Timestamp::now()).await.expect("revoked");
    let revoked = ask().await;
    assert_eq!(revoked.message, format!("the token {} was revoked", token.id()));
    let enrolment = guarded.token(TokenKind::Enrolment, Role::Host).await;
    let error = guarded.refusal("GET", "/api/v2/builds", Some(&enrolment.reveal())).await;
    assert!(error.message.ends_with("registers a host, once, and does nothing else"), "{error:?}");
    let error = guarded.client().enrol(&token.reveal(), &self::enrolment("web-1")).await;
    assert_eq!(error.expect_err("revoked").code(), Some(ErrorCode::Unauthorized));
}

#[tokio::test]
async fn path_that_is_not_there_is_told_only_to_who_may_ask_at_all() {
    let guarded = Guarded::new().await;
    let read = guarded.credential(Role::Read).await;
    let nowhere = "/api/v2/nothing/here";
    assert_eq!(guarded.refusal("GET", nowhere, None).await.code, ErrorCode::Unauthorized);
    assert_eq!(guarded.refusal("GET", nowhere, Some(&read)).await.code, ErrorCode::NotFound);
    let answer = guarded.ask(Reach::Network, "DELETE", "/api/v2/builds", Some(&read)).await;
    assert_eq!(answer.headers()["allow"], "GET,HEAD,POST");
    assert_eq!(api_error(answer).await.code, ErrorCode::MethodNotAllowed);
    let answer = guarded.ask(Reach::Network, "HEAD", "/api/v2/builds", Some(&read)).await;
    assert_eq!(answer.status(), 200);
    let answer = guarded.ask(Reach::Network, "HEAD", "/api/v2/builds", None).await;
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn on_loopback_no_token_is_needed_unless_the_config_says_so_but_a_wrong_one_is_refused() {
    let guarded = Guarded::new().await;
    let status = async |reach, path, token: Option<&str>| {
        guarded.ask(reach, "GET", path, token).await.status().as_u16()
    };
    assert_eq!(status(Reach::Loopback, "/api/v2/audit", None).await, 200);
    assert_eq!(status(Reach::GuardedLoopback, "/api/v2/audit", None).await, 401);
    assert_eq!(status(Reach::GuardedLoopback, "/api/v2/version", None).await, 200);
    assert_eq!(status(Reach::Network, "/api/v2/version", None).await, 401);
    assert_eq!(status(Reach::Network, "/api/v2/health", None).await, 200);
    assert_eq!(status(Reach::Network, "/api/v2/health", Some("nonsense")).await, 200);
    let read = guarded.credential(Role::Read).await;
    for reach in [Reach::Loopback, Reach::GuardedLoopback, Reach::Network] {
        assert_eq!(status(reach, "/api/v2/builds", Some(&read)).await, 200, "{reach:?}");
        assert_eq!(status(reach, "/api/v2/audit", Some(&read)).await, 403, "{reach:?}");
        assert_eq!(status(reach, "/api/v2/builds", Some("elp_")).await, 401, "{reach:?}");
    }
}

#[tokio::test]
async fn host_is_enrolled_once_with_the_tags_of_its_token() {
    let guarded = Guarded::new().await;
    let token = guarded.token(TokenKind::Enrolment, Role::Host).await.reveal();
    let client = guarded.client();
    let without = guarded.client().enrol("", &enrolment("web-1")).await.expect_err("no token");
    assert_eq!(without.code(), Some(ErrorCode::Unauthorized));
    let answer = client.enrol(&token, &enrolment("web-1")).await.expect("enrolled");
    assert_eq!(answer.name.as_str(), "web-1");
    assert_eq!(answer.tags, ["web".parse().expect("a tag")]);
    answer.token.parse::<AccessToken>().expect("a token");
    let again = client.enrol(&token, &enrolment("web-2")).await.expect_err("it was used");
    assert!(again.to_string().contains("was used: it registered a host"), "{again}");
    let other = guarded.token(TokenKind::Enrolment, Role::Host).await.reveal();
    let taken = client.enrol(&other, &enrolment("web-1")).await.expect_err("it is there");
    assert_eq!(taken.code(), Some(ErrorCode::Conflict));
    client.enrol(&other, &enrolment("web-2")).await.expect("it was not used up");
}

#[tokio::test]
async fn what_people_do_is_in_the_audit_log_under_their_names() {
    let guarded = Guarded::new().await;
    let admin = guarded.credential(Role::Admin).await;
    let read = guarded.credential(Role::Read).await;
    // On loopback, without a token.
    let build = guarded.server.submit("a.patch").await.build.number;
    for _ in 0..2 {
        assert!(guarded.server.submit("a.patch").await.joined);
    }
    let cancel = format!("/api/v2/builds/{build}/cancel");
    for _ in 0..3 {
        guarded.refusal("POST", &cancel, Some(&read)).await;
    }
    assert_eq!(guarded.ask(Reach::Network, "POST", &cancel, Some(&admin)).await.status(), 200);
    let log = guarded.ask(Reach::Network, "GET", "/api/v2/audit", Some(&admin)).await;
    let log: AuditLog = serde_json::from_str(&text(log).await).expect("a log");
    let lines: Vec<String> = log
        .entries
        .iter()
        .rev()
        .map(|entry| format!("{} {} {}", entry.actor, entry.action, entry.subject))
        .collect();
    let id = |token: &str| token["elp_".len()..][..12].to_owned();
    assert_eq!(
        lines,
        [
            format!("root on the server token-created token {}", id(&admin)),
            format!("root on the server token-created token {}", id(&read)),
            "anybody on this machine build-ordered build 1".to_owned(),
            format!(
                "token {} (ci) request-refused POST /api/v2/builds/{{number}}/cancel",
                id(&read)
            ),
            format!("token {} (ci) build-cancelled build 1", id(&admin)),
        ]
    );
    assert_eq!(log.entries[1].detail["path"], cancel);
    let page = guarded.ask(Reach::Network, "GET", "/api/v2/audit?limit=2", Some(&admin)).await;
    let page: AuditLog = serde_json::from_str(&text(page).await).expect("a log");
    assert_eq!((page.entries.len(), page.next), (2, Some(page.entries[1].number)));
    let error = guarded.refusal("GET", "/api/v2/audit?limit=0", Some(&admin)).await;
    assert_eq!(error.code, ErrorCode::BadRequest);
}

#[tokio::test]
async fn host_acts_for_itself_only_and_fetches_what_is_assigned_to_it_only() {
    let guarded = Guarded::new().await;
    let own = guarded.enrol("web-1").await.token;
    guarded.enrol("web-2").await;
    let status = async |method: &str, path: &str| {
        guarded.ask(Reach::Network, method, path, Some(&own)).await.status().as_u16()
    };
    assert_eq!(status("GET", "/api/v2/hosts/web-1").await, 200);
    assert_eq!(status("GET", "/api/v2/hosts/%77eb-1").await, 200, "the same, written otherwise");
    for other in ["web-2", "web-3", "web-1%2f..%2fweb-2", "web-1.", "WEB-1"] {
        assert_eq!(status("GET", &format!("/api/v2/hosts/{other}")).await, 403, "{other}");
        assert_eq!(status("PUT", &format!("/api/v2/hosts/{other}/report")).await, 403, "{other}");
    }
    assert_eq!(
        status("PUT", "/api/v2/hosts/web-1/report").await,
        400,
        "it is the form that is wrong"
    );
    for path in ["/api/v2/hosts/web-1/tags", "/api/v2/hosts/web-1/hold"] {
        assert_eq!(status("PUT", path).await, 403, "{path}");
    }
    assert_eq!(status("DELETE", "/api/v2/hosts/web-1").await, 403);

    let build = guarded.server.finished_build("a.patch", b"a module").await;
    let other = guarded.server.finished_build("b.patch", b"another one").await;
    let module = format!("/api/v2/builds/{build}/module");
    let manifest = format!("/api/v2/builds/{build}/manifest");
    assert_eq!(status("GET", &module).await, 403, "nothing is assigned to it");
    let admin = guarded.credential(Role::Admin).await;
    let assign = async |whom: serde_json::Value| {
        let body = serde_json::json!({ "build": build, "whom": whom }).to_string();
        let request = Request::post("/api/v2/assignments")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {admin}"))
            .body(Body::from(body))
            .expect("a request");
        let router = public_router(guarded.server.app.clone(), Reach::Network);
        let answer = router.oneshot(request).await.expect("answered");
        let status = answer.status();
        let body = text(answer).await;
        assert_eq!(status, 201, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON")["assignment"]["id"].clone()
    };
    let to = |whom: Whom| serde_json::to_value(whom).expect("plain data");
    assign(to(Whom::Host("web-2".parse().expect("a name")))).await;
    assert_eq!(status("GET", &module).await, 403, "it is another host's");
    for whom in [
        Whom::Host("web-1".parse().expect("a name")),
        Whom::Tag("web".parse().expect("a tag")),
        Whom::All,
    ] {
        let id = assign(to(whom)).await;
        assert_eq!(status("GET", &module).await, 200);
        assert_eq!(status("GET", &manifest).await, 200);
        assert_eq!(status("GET", &format!("/api/v2/builds/{other}/module")).await, 403);
        assert_eq!(status("GET", &format!("/api/v2/builds/{build}")).await, 200);
        assert_eq!(
            status("GET", &format!("/api/v2/builds/{build}/events")).await,
            403,
            "only its livepatch"
        );
        let path = format!("/api/v2/assignments/{id}");
        let answer = guarded.ask(Reach::Network, "DELETE", &path, Some(&admin)).await;
        assert_eq!(answer.status(), 204);
        assert_eq!(status("GET", &module).await, 403, "it is not assigned any more");
    }
    assert_eq!(status("GET", "/api/v2/builds/x/module").await, 403);
    let path = "/api/v2/hosts/web-1";
    assert_eq!(guarded.ask(Reach::Network, "DELETE", path, Some(&admin)).await.status(), 204);
    assert_eq!(status("GET", path).await, 401, "it was forgotten");
}
