use std::time::Duration;

use axum::body::Body;
use elivepatch_api::{ErrorCode, EventsRequest};
use elivepatch_model::{BuildEvent, BuildState, StepName};
use futures::StreamExt;
use http::Request;

use crate::support::{Server, api_error, number, text};

fn log(line: &str) -> BuildEvent {
    BuildEvent::Log { step: StepName::Compile, line: line.to_owned() }
}

fn states(events: &[BuildEvent]) -> Vec<BuildState> {
    let state = |event: &BuildEvent| match event {
        BuildEvent::State { state, .. } => Some(*state),
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

#[tokio::test]
async fn events_come_as_they_happen_and_end_with_the_build() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    let mut stream = server.client.events(build, 0).await.expect("a stream");
    let mut next = async || stream.next().await.expect("an event").expect("readable");
    assert_eq!(states(&[next().await.event]), [BuildState::Queued]);
    let (_, lease) = server.claim().await;
    assert_eq!(states(&[next().await.event]), [BuildState::Running]);
    let events = vec![log("one\nand the same"), log("two")];
    lease.events(&EventsRequest { events: events.clone() }).await.expect("added");
    let (first, second) = (next().await, next().await);
    assert_eq!((first.sequence, second.sequence), (3, 4));
    assert_eq!([first.event, second.event], events[..]);
    server.client.cancel(build).await.expect("cancelled");
    assert_eq!(states(&[next().await.event]), [BuildState::Cancelled]);
    assert!(stream.next().await.is_none(), "the stream ends");
}

#[tokio::test]
async fn follower_goes_on_after_the_event_it_saw_last() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    server.client.cancel(build).await.expect("cancelled");
    let path = format!("/api/v2/builds/{build}/events");
    let all = text(server.get(&path).await).await;
    assert!(
        all.starts_with("id: 1\nevent: state\ndata: {\"sequence\":1,\"type\":\"state\""),
        "{all}"
    );
    let request = Request::get(format!("{path}?after=0")).header("last-event-id", "1");
    let rest = text(server.send(request.body(Body::empty()).expect("a request")).await).await;
    assert!(rest.starts_with("id: 2\nevent: state\ndata: "), "{rest}");
    assert_eq!(text(server.get(&format!("{path}?after=1")).await).await, rest);
    assert_eq!(text(server.get(&format!("{path}?after=2")).await).await, "", "nothing is left");
    let request = Request::get(&path).header("last-event-id", "one").body(Body::empty());
    let error = api_error(server.send(request.expect("a request")).await).await;
    assert_eq!(error.code, ErrorCode::BadRequest);
}

#[tokio::test]
async fn long_log_is_read_to_its_end() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    let (_, lease) = server.claim().await;
    let events: Vec<_> = (0..1000).map(|index| log(&index.to_string())).collect();
    lease.events(&EventsRequest { events }).await.expect("added");
    server.client.cancel(build).await.expect("cancelled");
    let stream = server.client.events(build, 0).await.expect("a stream");
    let sequences: Vec<i64> = stream.map(|event| event.expect("readable").sequence).collect().await;
    assert_eq!(sequences, (1..=1003).collect::<Vec<i64>>());
}

#[tokio::test]
async fn streams_and_claims_end_when_the_server_stops() {
    let server = Server::new().await;
    let build = server.submit("a.patch").await.build.number;
    server.claim().await;
    let stream = server.client.events(build, 2).await.expect("a stream");
    let claim_request = crate::support::claim_request(60);
    let claim = server.worker.claim(&claim_request);
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.app.stop();
    };
    let both = async { tokio::join!(stream.collect::<Vec<_>>(), claim, stop) };
    let (events, claimed, ()) =
        tokio::time::timeout(Duration::from_secs(3), both).await.expect("both end");
    assert!(events.is_empty() && claimed.expect("answered").is_none());
    assert_eq!(server.client.build(number(1)).await.expect("there").state, BuildState::Running);
}
