//! What the client of the first elivepatch does, and sessions at the same time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use elivepatch_api::{AuditQuery, CompleteRequest, FailRequest, ListBuildsQuery};
use elivepatch_model::{BuildState, Failure, FailureClass, Sha256Digest};
use elivepatch_server::app::V1Options;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;

use super::{
    MODULE, OTHER_SESSION, PARTS, SESSION, answered, fetch, finish_build, has_ordered, order,
    refused, send,
};
use crate::support::{BUILT_RELEASE, CONFIG, PATCH, RELEASE, Server, Setup, V1, manifest, number};

#[tokio::test]
async fn agent_is_the_first_elivepatchs() {
    let server = Server::new().await;
    for path in ["/elivepatch/api/", "/elivepatch/api/v1.0/agent"] {
        let (status, body) = answered(server.get(path).await).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, json!({"agent": [{"module": "elivepatch", "version": "0.01"}]}));
    }
}

#[tokio::test]
async fn order_is_answered_when_its_build_has_ended_and_its_module_is_the_sessions() {
    let server = Server::new().await;
    let waiting = send(&server.app, order(RELEASE, SESSION, &PARTS));
    let (lease, worker) = server.claim_soon().await;
    assert_eq!(lease.build.target.release.as_str(), RELEASE);
    assert_eq!(lease.build.config, Sha256Digest::of(CONFIG.as_bytes()));
    assert_eq!(lease.build.fixes[0].name, "main.patch");
    assert!(lease.build.options.stack, "it is loaded beside what is there");
    assert!(!lease.build.options.accept_unproven);
    assert!(!waiting.is_finished());
    has_ordered(&server, SESSION).await;
    let (_, early) = refused(server.send(fetch(SESSION)).await).await;
    assert!(early.error.hint.contains("build 1 is running"), "{early:?}");

    worker.upload_module(Bytes::from_static(MODULE)).await.expect("uploaded");
    let manifest = manifest(lease.build.key, MODULE);
    worker.complete(&CompleteRequest { manifest }).await.expect("completed");
    let (status, body) = answered(waiting.await.expect("no panic")).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(body, json!({"get_config": {"KernelVersion": null, "UUID": SESSION}}));
    let module = server.send(fetch(SESSION)).await;
    assert_eq!(module.status(), StatusCode::OK);
    assert_eq!(module.headers()["content-type"], "application/octet-stream");
    assert_eq!(module.into_body().collect().await.expect("a body").to_bytes(), MODULE);
    // Nobody else's.
    let (status, other) = refused(server.send(fetch(OTHER_SESSION)).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(other.message, "These are not the patches you are looking for");
    let audit = server.app.audit_log(&AuditQuery::default()).await.expect("the audit log");
    assert_eq!(audit.entries[0].actor, "a client of the REST API v1.0");
}

#[tokio::test]
async fn patches_that_the_kernel_has_are_baseline_in_their_order_and_parts_come_in_any() {
    let server = Server::new().await;
    let second = PATCH.replace("meminfo", "uptime");
    let parts = [
        ("patch", "00000.patch", PATCH.as_bytes()),
        ("patch", "00001.patch", second.as_bytes()),
        ("config", "config", CONFIG.as_bytes()),
        ("main_patch", "main.patch", PATCH.as_bytes()),
    ];
    let waiting = send(&server.app, order("6.1.176-mine", SESSION, &parts));
    let (lease, _) = server.claim_soon().await;
    let names: Vec<&str> = lease.build.baseline.iter().map(|patch| patch.name.as_str()).collect();
    assert_eq!(names, ["00000.patch", "00001.patch"]);
    assert_eq!(lease.build.fixes.len(), 1);
    waiting.abort();
}

#[tokio::test]
async fn version_of_the_source_is_enough_when_the_config_says_the_rest() {
    let server = Server::new().await;
    let config = format!("{CONFIG}CONFIG_LOCALVERSION=\"-mine\"\n");
    let parts = [PARTS[0], ("config", "config", config.as_bytes())];
    let waiting = send(&server.app, order("6.1.176", SESSION, &parts));
    let (lease, _) = server.claim_soon().await;
    assert_eq!(lease.build.target.release.as_str(), "6.1.176-mine");
    waiting.abort();
    // Nothing here has a plain 6.1.176.
    let (status, none) = refused(server.send(order("6.1.176", OTHER_SESSION, &PARTS)).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(none.message, "gentoo-sources not available");
    assert!(none.error.hint.contains("6.1.176"), "{none:?}");
}

#[tokio::test]
async fn kernel_that_is_built_here_goes_without_proof_only_where_both_keys_say_so() {
    for (allow_unproven, accept_unproven) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        let v1 = Some(V1Options { accept_unproven, ..V1 });
        let server = Server::with(Setup { allow_unproven, v1, ..Setup::default() }).await;
        let waiting = send(&server.app, order(BUILT_RELEASE, SESSION, &PARTS));
        let (lease, _) = server.claim_soon().await;
        assert_eq!(lease.build.options.accept_unproven, allow_unproven && accept_unproven);
        waiting.abort();
        let waiting = send(&server.app, order(RELEASE, OTHER_SESSION, &PARTS));
        let (lease, _) = server.claim_soon().await;
        assert!(!lease.build.options.accept_unproven, "a stock kernel can be proven");
        waiting.abort();
    }
}

#[tokio::test]
async fn who_cannot_prove_anything_is_told_which_keys_would_do() {
    let server = Server::that_allows_unproven().await;
    let fail = async |version, session| {
        let waiting = send(&server.app, order(version, session, &PARTS));
        let (_, worker) = server.claim_soon().await;
        let failure = Failure::new(
            FailureClass::FitUnproven,
            "nothing proves that the kernel is the one that the target runs",
            "send the running kernel's /proc/kallsyms",
        );
        worker.fail(&FailRequest { failure }).await.expect("told");
        let (status, posted) = refused(waiting.await.expect("no panic")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(posted.error.failure_class(), Some(FailureClass::FitUnproven));
        let (_, fetched) = refused(server.send(fetch(session)).await).await;
        (posted.error.hint, fetched.error.hint)
    };
    let (posted, fetched) = fail(BUILT_RELEASE, SESSION).await;
    for hint in [posted, fetched] {
        assert!(hint.contains("allow_unproven = true under [policy]"), "{hint}");
        assert!(hint.contains("accept_unproven = true under [compat]"), "{hint}");
    }
    // A stock kernel is proven by its package: no key would change that.
    let (posted, _) = fail(RELEASE, OTHER_SESSION).await;
    assert_eq!(posted, "send the running kernel's /proc/kallsyms");
}

#[tokio::test]
async fn failed_build_is_an_error_with_its_reason_and_has_no_module() {
    let server = Server::new().await;
    let fail = async |session, class: FailureClass| {
        let patch = PATCH.replace("TWO", session);
        let parts = [("main_patch", "main.patch", patch.as_bytes()), PARTS[1]];
        let waiting = send(&server.app, order(RELEASE, session, &parts));
        let (_, worker) = server.claim_soon().await;
        let failure = Failure::new(class, "hunk 2 does not apply", "send another patch");
        worker.fail(&FailRequest { failure }).await.expect("told");
        let posted = refused(waiting.await.expect("no panic")).await;
        let (status, fetched) = refused(server.send(fetch(session)).await).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(fetched.message, "These are not the patches you are looking for");
        assert!(fetched.error.hint.contains("send another patch"), "{fetched:?}");
        posted
    };
    let (status, failed) = fail(SESSION, FailureClass::PatchDoesNotApply).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(failed.message, "build 1 gave no livepatch: hunk 2 does not apply");
    assert_eq!(failed.error.failure_class(), Some(FailureClass::PatchDoesNotApply));
    let (status, unknown) = fail(OTHER_SESSION, FailureClass::ReleaseUnknown).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(unknown.message, "gentoo-sources not available");
    assert!(unknown.error.hint.contains("hunk 2 does not apply"), "{unknown:?}");
}

#[tokio::test]
async fn cancelled_build_ends_the_wait_with_an_error() {
    let server = Server::new().await;
    let waiting = send(&server.app, order(RELEASE, SESSION, &PARTS));
    let (lease, _) = server.claim_soon().await;
    server.client.cancel(lease.build.number).await.expect("cancelled");
    let (status, body) = refused(waiting.await.expect("no panic")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body.message.contains("build 1 is cancelled"), "{body:?}");
    assert!(body.error.hint.contains("with another UUID"), "{body:?}");
}

#[tokio::test]
async fn client_that_is_gone_while_it_waits_gets_its_module_later() {
    let server = Server::new().await;
    let waiting = send(&server.app, order(RELEASE, SESSION, &PARTS));
    let (lease, worker) = server.claim_soon().await;
    waiting.abort();
    assert!(waiting.await.expect_err("it hung up").is_cancelled());
    has_ordered(&server, SESSION).await;
    worker.upload_module(Bytes::from_static(MODULE)).await.expect("uploaded");
    let manifest = manifest(lease.build.key, MODULE);
    worker.complete(&CompleteRequest { manifest }).await.expect("completed");
    assert_eq!(server.client.build(number(1)).await.expect("there").state, BuildState::Succeeded);
    let module = server.send(fetch(SESSION)).await;
    assert_eq!(module.status(), StatusCode::OK);
}

#[tokio::test]
async fn server_that_stops_lets_nobody_wait() {
    let server = Server::new().await;
    let waiting = send(&server.app, order(RELEASE, SESSION, &PARTS));
    server.claim_soon().await;
    let began = Instant::now();
    server.app.stop();
    let (status, body) = refused(waiting.await.expect("no panic")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body.message.contains("build 1 is running"), "{body:?}");
    assert!(body.error.hint.contains("GET send_livepatch with the same UUID"), "{body:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn session_that_was_seen_is_201_with_a_note_and_orders_nothing() {
    let server = Server::new().await;
    let waiting = send(&server.app, order(RELEASE, SESSION, &PARTS));
    finish_build(&server).await;
    waiting.await.expect("no panic");
    // Whatever is sent, and in which case the UUID is written.
    for session in [SESSION.to_owned(), SESSION.to_uppercase()] {
        let other = PATCH.replace("TWO", "Two");
        let parts = [("main_patch", "main.patch", other.as_bytes()), PARTS[1]];
        let (status, body) = answered(server.send(order(RELEASE, &session, &parts)).await).await;
        assert_eq!(status, StatusCode::CREATED);
        assert_eq!(body["get_config"], json!({"KernelVersion": null, "UUID": SESSION}));
        assert!(body["message"].as_str().expect("a note").contains("was seen before"), "{body}");
    }
    assert_eq!(
        server.client.list(&ListBuildsQuery::default()).await.expect("asked").builds.len(),
        1
    );
}

#[tokio::test]
async fn same_session_at_the_same_time_is_one_build() {
    let server = Server::new().await;
    // Different patches, so that they are no equal builds.
    let orders: Vec<_> = (0..8)
        .map(|index| {
            let patch = PATCH.replace("TWO", &format!("TWO{index}"));
            let parts = [("main_patch", "main.patch", patch.as_bytes()), PARTS[1]];
            send(&server.app, order(RELEASE, SESSION, &parts))
        })
        .collect();
    finish_build(&server).await;
    let mut notes = 0;
    for order in orders {
        let (status, body) = answered(order.await.expect("no panic")).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        notes += usize::from(body.get("message").is_some());
    }
    assert_eq!(notes, 7, "one has ordered");
    assert_eq!(
        server.client.list(&ListBuildsQuery::default()).await.expect("asked").builds.len(),
        1
    );
}

#[tokio::test]
async fn two_sessions_with_equal_orders_share_a_build_and_each_gets_its_module() {
    let server = Server::new().await;
    let orders = [SESSION, OTHER_SESSION].map(|id| send(&server.app, order(RELEASE, id, &PARTS)));
    finish_build(&server).await;
    for order in orders {
        assert_eq!(order.await.expect("no panic").status(), StatusCode::CREATED);
    }
    for session in [SESSION, OTHER_SESSION] {
        assert_eq!(server.send(fetch(session)).await.status(), StatusCode::OK);
    }
    assert_eq!(
        server.client.list(&ListBuildsQuery::default()).await.expect("asked").builds.len(),
        1
    );
}
