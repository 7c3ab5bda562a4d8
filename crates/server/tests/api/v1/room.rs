//! How much of the server clients get whom nobody knows, and that others go on meanwhile.

use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use elivepatch_api::{ErrorCode, ListBuildsQuery, client::NamedPatch};
use elivepatch_model::BuildState;
use elivepatch_server::config::V1Limits;
use futures::{StreamExt as _, stream};
use http::{Request, Response, StatusCode};
use tokio::task::JoinHandle;

use super::{
    GET_FILES, OTHER_SESSION, PARTS, SESSION, fetch, finish_build, has_ordered, order, refused,
    send,
};
use crate::support::{
    BUILT_RELEASE, CONFIG, PATCH, RELEASE, Server, V1_LIMITS, build_request, number,
};

/// How many orders come in at the same time, and how many are answered.
const UPLOADS: usize = 2;
const REQUESTS: usize = 64;

/// An order of which nothing comes but its head.
fn order_that_hangs(index: usize) -> Request<Body> {
    Request::post(GET_FILES)
        .header("KernelVersion", RELEASE)
        .header("UUID", session(index))
        .header("Content-Type", "multipart/form-data; boundary=f00")
        .body(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()))
        .expect("a request")
}

fn session(index: usize) -> String {
    format!("0e8dd2a1-4f0c-4d2e-8a51-{index:012x}")
}

/// An order with a patch of its own.
fn other_order(index: usize) -> Request<Body> {
    order_of(index, RELEASE, &[], CONFIG)
}

fn order_of(index: usize, version: &str, has: &[&str], config: &str) -> Request<Body> {
    let patch = PATCH.replace("TWO", &format!("TWO{index}"));
    let mut parts = vec![("main_patch", "main.patch", patch.as_bytes())];
    parts.extend(has.iter().map(|patch| ("patch", "00000.patch", patch.as_bytes())));
    parts.push(("config", "config", config.as_bytes()));
    order(version, &session(index), &parts)
}

/// Gives others the time to come to where they wait.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// An answer that must come soon.
async fn soon(answer: JoinHandle<Response<Body>>) -> Response<Body> {
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
    answer.expect("it is answered").expect("no panic")
}

async fn busy(answer: Response<Body>, seconds: &str) -> (String, String) {
    assert_eq!(answer.headers()["retry-after"], seconds);
    let (status, body) = refused(answer).await;
    assert_eq!((status, body.error.code), (StatusCode::TOO_MANY_REQUESTS, ErrorCode::QueueFull));
    (body.message, body.error.hint)
}

#[tokio::test]
async fn orders_that_never_end_keep_nobody_waiting_who_uses_v2() {
    let server = Server::new().await;
    let hanging: Vec<_> =
        (0..REQUESTS).map(|index| send(&server.app, order_that_hangs(index))).collect();
    settle().await;
    let submitted = tokio::time::timeout(Duration::from_secs(20), server.submit("a.patch")).await;
    assert!(!submitted.expect("it does not wait").joined);
    assert!(hanging.iter().all(|order| !order.is_finished()));
    hanging.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn order_waits_until_one_of_those_that_come_in_has_ended() {
    let server = Server::new().await;
    let mut hanging = Vec::new();
    for index in 0..UPLOADS {
        let (begun, is_read) = tokio::sync::oneshot::channel();
        let mut request = order_that_hangs(index);
        *request.body_mut() = Body::from_stream(stream::once(async move {
            let _ = begun.send(());
            std::future::pending::<Result<Bytes, std::io::Error>>().await
        }));
        hanging.push(send(&server.app, request));
        is_read.await.expect("it has its turn");
    }
    let waiting = send(&server.app, order(RELEASE, SESSION, &PARTS));
    settle().await;
    let query = ListBuildsQuery::default();
    assert!(server.client.list(&query).await.expect("asked").builds.is_empty());
    hanging[0].abort();
    finish_build(&server).await;
    assert_eq!(soon(waiting).await.status(), StatusCode::CREATED);
    hanging[1].abort();
}

#[tokio::test]
async fn turn_of_an_order_that_is_refused_goes_to_the_next_at_once() {
    let server = Server::new().await;
    // A part that is not known, and then nothing more.
    let begin = "--f00\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nx\r\n";
    for index in 0..3 * UPLOADS {
        let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(begin))]);
        let mut request = order_that_hangs(index);
        *request.body_mut() = Body::from_stream(body.chain(stream::pending()));
        let (status, body) = refused(soon(send(&server.app, request)).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:?}");
    }
}

#[tokio::test]
async fn more_requests_than_are_answered_are_refused_before_anything_of_them_is_read() {
    let server = Server::new().await;
    let mut requests: Vec<_> =
        (0..=REQUESTS).map(|index| send(&server.app, order_that_hangs(index))).collect();
    let began = Instant::now();
    let refused = loop {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is refused");
        match requests.iter().position(JoinHandle::is_finished) {
            Some(refused) => break requests.swap_remove(refused),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let (message, _) = busy(soon(refused).await, "60").await;
    assert_eq!(message, "64 requests of the REST API v1.0 are being answered already");
    settle().await;
    assert!(!requests.iter().any(JoinHandle::is_finished), "the others wait");
    // Who hangs up makes room.
    for request in requests {
        request.abort();
        let _ = request.await;
    }
    let one_more = send(&server.app, order_that_hangs(REQUESTS));
    settle().await;
    assert!(!one_more.is_finished());
    one_more.abort();
}

#[tokio::test]
async fn orders_beyond_their_limit_are_refused_before_anything_of_them_is_read() {
    let server = Server::with_v1_limits(V1Limits { orders: Some(2), ..V1_LIMITS }).await;
    let waiting = [0, 1].map(|index| send(&server.app, other_order(index)));
    for index in [0, 1] {
        has_ordered(&server, &session(index)).await;
    }
    let answer = soon(send(&server.app, order_that_hangs(2))).await;
    let (message, hint) = busy(answer, "60").await;
    assert_eq!(message, "2 builds that were ordered by the REST API v1.0 wait or run already");
    assert!(hint.contains("orders = 2 under [compat]"), "{hint}");
    // Who has ordered is not refused, nor is v2.
    let seen = soon(send(&server.app, other_order(1))).await;
    assert_eq!(seen.status(), StatusCode::CREATED);
    assert!(!server.submit("a.patch").await.joined);
    let lease = {
        server.client.cancel(number(3)).await.expect("that of v2");
        server.claim().await.0
    };
    server.client.cancel(lease.build.number).await.expect("one of theirs");
    let third = send(&server.app, other_order(2));
    has_ordered(&server, &session(2)).await;
    third.abort();
    waiting.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn limit_holds_for_orders_that_come_at_the_same_time() {
    let server = Server::with_v1_limits(V1Limits { orders: Some(1), ..V1_LIMITS }).await;
    // More than one of them may pass the look at the head.
    let orders: Vec<_> = (0..8).map(|index| send(&server.app, other_order(index))).collect();
    let began = Instant::now();
    while orders.iter().filter(|order| order.is_finished()).count() < 7 {
        assert!(began.elapsed() < Duration::from_secs(60), "more than one waits for a build");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    finish_build(&server).await;
    let mut statuses = Vec::new();
    for order in orders {
        statuses.push(soon(order).await.status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 429, 429, 429, 429, 429, 429, 429]);
    let list = server.client.list(&ListBuildsQuery::default()).await.expect("asked");
    assert_eq!(list.builds.len(), 1);
}

#[tokio::test]
async fn builds_of_a_day_are_limited_and_what_was_built_is_given_all_the_same() {
    let server = Server::with_v1_limits(V1Limits { orders_per_day: Some(2), ..V1_LIMITS }).await;
    for index in [0, 1] {
        let waiting = send(&server.app, other_order(index));
        finish_build(&server).await;
        assert_eq!(soon(waiting).await.status(), StatusCode::CREATED);
    }
    let stored = server.stored_files();
    let (message, hint) = busy(soon(send(&server.app, other_order(2))).await, "3600").await;
    assert_eq!(message, "2 builds were ordered by the REST API v1.0 in the last 24 hours");
    assert!(hint.contains("orders_per_day = 2 under [compat]"), "{hint}");
    assert_eq!(server.stored_files(), stored, "nothing is left of it");
    assert_eq!(server.send(fetch(&session(2))).await.status(), StatusCode::FORBIDDEN);
    // Another machine with the first one's order.
    let patch = PATCH.replace("TWO", "TWO0");
    let parts = [("main_patch", "main.patch", patch.as_bytes()), PARTS[1]];
    let equal = soon(send(&server.app, order(RELEASE, OTHER_SESSION, &parts))).await;
    assert_eq!(equal.status(), StatusCode::CREATED);
    assert_eq!(server.send(fetch(OTHER_SESSION)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn kernels_that_nobody_had_ordered_for_are_limited() {
    let server =
        Server::with_v1_limits(V1Limits { kernels_per_day: Some(2), orders: Some(9), ..V1_LIMITS })
            .await;
    // Somebody who has a token orders for this one, which then is nobody's news.
    server.submit("a.patch").await;
    let ordered = async |index, version: &str, has: &[&str], config: &str| {
        let waiting = send(&server.app, order_of(index, version, has, config));
        has_ordered(&server, &session(index)).await;
        waiting.abort();
    };
    let (first, second) = (PATCH, PATCH.replace("one", "One"));
    ordered(0, RELEASE, &[], CONFIG).await;
    ordered(1, BUILT_RELEASE, &[first], CONFIG).await;
    ordered(2, BUILT_RELEASE, &[], CONFIG).await;
    let longer = format!("{CONFIG}CONFIG_SMP=y\n");
    for (index, has, config) in [
        (3, vec![second.as_str()], CONFIG),
        (4, vec![first, second.as_str()], CONFIG),
        (5, vec![], longer.as_str()),
    ] {
        let request = order_of(index, BUILT_RELEASE, &has, config);
        let (message, hint) = busy(soon(send(&server.app, request)).await, "3600").await;
        assert!(message.starts_with("2 new kernels came by the REST API v1.0 in"), "{message}");
        assert!(hint.contains("kernels_per_day = 2 under [compat]"), "{hint}");
    }
    // Those that are known are served.
    ordered(6, BUILT_RELEASE, &[first], CONFIG).await;
    ordered(7, RELEASE, &[], CONFIG).await;
}

#[tokio::test]
async fn nothing_is_refused_where_there_are_no_limits() {
    let none = V1Limits { orders: None, orders_per_day: None, kernels_per_day: None };
    let server = Server::with_v1_limits(none).await;
    let waiting = [0, 1, 2, 3, 4, 5].map(|index| {
        let config = format!("{CONFIG}CONFIG_NR_CPUS={index}\n");
        send(&server.app, order_of(index, BUILT_RELEASE, &[], &config))
    });
    for index in 0..waiting.len() {
        has_ordered(&server, &session(index)).await;
    }
    waiting.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn full_queue_is_told_with_when_to_come_again() {
    let server = Server::with_queue_limit(1).await;
    server.submit("a.patch").await;
    let answer = soon(send(&server.app, order(RELEASE, SESSION, &PARTS))).await;
    let (message, _) = busy(answer, "60").await;
    assert_eq!(message, "1 builds are waiting already");
}

#[tokio::test]
async fn orders_of_v2_are_built_first_and_so_is_what_they_join() {
    let server = Server::new().await;
    let waiting = [0, 1].map(|index| send(&server.app, other_order(index)));
    for index in [0, 1] {
        has_ordered(&server, &session(index)).await;
    }
    let of_v2 = server.submit("a.patch").await.build.number;
    assert_eq!(server.claim().await.0.build.number, of_v2);
    // The same as the later one of the two.
    let list = server.client.list(&ListBuildsQuery::default()).await.expect("asked").builds;
    let later = list.iter().find(|build| build.state == BuildState::Queued).expect("it waits");
    let fixes = server.client.build(later.number).await.expect("there").fixes;
    let text = [0, 1]
        .map(|index| PATCH.replace("TWO", &format!("TWO{index}")))
        .into_iter()
        .find(|text| elivepatch_model::Sha256Digest::of(text.as_bytes()) == fixes[0].digest)
        .expect("one of them");
    let mut request = build_request();
    request.options.stack = true;
    let patch =
        NamedPatch { name: "main.patch".to_owned(), content: Bytes::from(text.into_bytes()) };
    let joined = server.client.submit(&request, CONFIG.as_bytes(), &[patch]).await.expect("asked");
    assert!(joined.joined && joined.build.number == later.number);
    assert_eq!(server.claim().await.0.build.number, later.number);
    waiting.iter().for_each(JoinHandle::abort);
}
