//! The client against a scripted transport: a test double, since the real server lives in a crate
//! that uses this one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use elivepatch_model::{Architecture, BuildNumber, Sha256Digest};
use futures::{StreamExt, TryStreamExt};
use http::{Request, Response};

use super::*;
use crate::{ClaimRequest, ErrorCode, Lease};

/// One scripted answer: no connection, or status, content type and pieces of the body. A piece
/// that is `None` loses the connection.
enum Answer {
    Refused,
    Given(u16, &'static str, Vec<Option<Bytes>>),
    Hangs,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Request<Bytes>>>,
}

fn lost() -> TransportError {
    TransportError::Lost { peer: "script".to_owned(), source: "cut".into() }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<BodyStream>, TransportError> {
        self.requests.lock().expect("no panic").push(request);
        let answer = self.answers.lock().expect("no panic").pop_front();
        match answer {
            None | Some(Answer::Refused) => {
                Err(TransportError::Connect { peer: "script".to_owned(), source: "refused".into() })
            }
            Some(Answer::Hangs) => std::future::pending().await,
            Some(Answer::Given(status, content_type, pieces)) => {
                let pieces = pieces.into_iter().map(|piece| piece.ok_or_else(lost));
                Ok(Response::builder()
                    .status(status)
                    .header("content-type", content_type)
                    .body(futures::stream::iter(pieces).boxed())
                    .expect("a valid response"))
            }
        }
    }

    fn peer(&self) -> &str {
        "script"
    }
}

fn client(answers: impl IntoIterator<Item = Answer>) -> (Client, Arc<Script>) {
    let script = Arc::new(Script::default());
    script.answers.lock().expect("no panic").extend(answers);
    (Client::new(script.clone()), script)
}

fn json(status: u16, text: &str) -> Answer {
    let text = Bytes::copy_from_slice(text.as_bytes());
    Answer::Given(status, "application/json", vec![Some(text)])
}

fn log(sequence: i64) -> Option<Bytes> {
    let data = format!(r#"{{"sequence":{sequence},"type":"log","step":"link","line":"x"}}"#);
    Some(format!("id: {sequence}\nevent: log\ndata: {data}\n\n").into())
}

fn finish(sequence: i64) -> Option<Bytes> {
    let data = format!(
        r#"{{"sequence":{sequence},"type":"state","state":"succeeded","at":"2026-11-23T10:00:00Z"}}"#
    );
    Some(format!("id: {sequence}\nevent: state\ndata: {data}\n\n").into())
}

fn stream(pieces: impl IntoIterator<Item = Option<Bytes>>) -> Answer {
    Answer::Given(200, "text/event-stream", pieces.into_iter().collect())
}

/// What a followed build shows, in short.
async fn follow(client: &Client, patience_seconds: u64) -> (Vec<String>, Option<ClientError>) {
    let patience = Duration::from_secs(patience_seconds);
    let mut shown = Vec::new();
    let mut stream = Box::pin(client.follow(BuildNumber(7), FollowOptions { after: 0, patience }));
    while let Some(item) = stream.next().await {
        match item {
            Ok(Followed::Event(record)) => shown.push(record.sequence.to_string()),
            Ok(Followed::Disconnected(_)) => shown.push("lost".to_owned()),
            Ok(Followed::Resumed) => shown.push("resumed".to_owned()),
            Err(error) => return (shown, Some(error)),
        }
    }
    (shown, None)
}

#[tokio::test(start_paused = true)]
async fn follower_goes_on_after_the_last_event_it_saw() {
    let (client, script) = client([
        stream([log(1), log(2), None]),
        Answer::Refused,
        Answer::Refused,
        stream([log(2), log(3)]),
        stream([finish(4), log(5)]),
    ]);
    let (shown, error) = follow(&client, 60).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(shown, ["1", "2", "lost", "resumed", "3", "lost", "resumed", "4"]);
    let requests = script.requests.lock().expect("no panic");
    let last_ids: Vec<_> = requests
        .iter()
        .map(|request| request.headers().get("last-event-id").map(|id| id.to_str().expect("text")))
        .collect();
    assert_eq!(last_ids, [None, Some("2"), Some("2"), Some("2"), Some("3")]);
}

#[tokio::test(start_paused = true)]
async fn follower_gives_up_when_its_patience_ends() {
    let begin = tokio::time::Instant::now();
    let (client, _) = client([stream([log(1), None])]);
    let (shown, error) = follow(&client, 20).await;
    assert_eq!(shown, ["1", "lost"]);
    assert!(matches!(error, Some(ClientError::Unreachable { .. })), "{error:?}");
    let seconds = begin.elapsed().as_secs();
    assert!((20..=26).contains(&seconds), "gave up after {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn follower_gives_up_when_connections_bring_nothing() {
    let begin = tokio::time::Instant::now();
    let cut = std::iter::repeat_with(|| stream([log(1), None])).take(100);
    let (client, _) = client(cut);
    let (shown, error) = follow(&client, 20).await;
    assert_eq!(shown, ["1", "lost"]);
    assert!(matches!(error, Some(ClientError::Lost { .. })), "{error:?}");
    let seconds = begin.elapsed().as_secs();
    assert!((20..=26).contains(&seconds), "gave up after {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn follower_does_not_ask_again_for_an_event_that_cannot_be_read() {
    let nonsense = || stream([Some("data: nonsense\n\n".into())]);
    let (client, script) = client([nonsense(), nonsense()]);
    let (_, error) = follow(&client, 60).await;
    assert!(matches!(error, Some(ClientError::Protocol { .. })), "{error:?}");
    assert_eq!(script.requests.lock().expect("no panic").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn follower_does_not_try_again_when_the_server_refuses() {
    let body =
        r#"{"error":{"code":"not-found","message":"no build 7","hint":"h","request_id":"r"}}"#;
    let (client, script) = client([json(404, body)]);
    let (shown, error) = follow(&client, 60).await;
    assert!(shown.is_empty());
    assert_eq!(error.and_then(|error| error.code()), Some(ErrorCode::NotFound));
    assert_eq!(script.requests.lock().expect("no panic").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn follower_bears_with_a_proxy_whose_server_is_away() {
    let gateway = || Answer::Given(502, "text/html", vec![Some("<h1>Bad Gateway</h1>".into())]);
    let (client, _) = client([gateway(), gateway(), stream([finish(1)])]);
    let (shown, error) = follow(&client, 60).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(shown, ["lost", "resumed", "1"]);
}

#[tokio::test(start_paused = true)]
async fn server_that_never_answers_is_given_up() {
    let (client, _) = client([Answer::Hangs]);
    let error = client.version().await.expect_err("no answer");
    assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn web_page_is_told_apart_from_an_answer() {
    let page = || Answer::Given(200, "text/html", vec![Some("<html>\u{1b}[2J".into())]);
    let (client, _) = client([page(), page()]);
    let error = client.version().await.expect_err("a web page").to_string();
    assert!(error.contains("not elivepatch's (HTTP status 200)"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error:?}");
    let error = client.events(BuildNumber(1), 0).await.err().expect("a web page").to_string();
    assert!(error.contains("not an event stream"), "{error}");
}

#[tokio::test]
async fn endless_answers_are_cut() {
    let chunk = Some(Bytes::from(vec![b'x'; 9 * 1024 * 1024]));
    let pieces = |count| std::iter::repeat_n(chunk.clone(), count).collect();
    let (client, _) = client([
        Answer::Given(200, "application/json", pieces(8)),
        Answer::Given(200, "text/event-stream", pieces(8)),
    ]);
    let error = client.version().await.expect_err("too large");
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error:?}");
    let events = client.events(BuildNumber(1), 0).await.expect("a stream");
    let error = events.try_collect::<Vec<_>>().await.expect_err("too large");
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error:?}");
    assert!(!error.is_passing(), "it would come again");
}

fn lease() -> Lease {
    let text = format!(
        r#"{{"token":"secret","deadline":"2026-11-23T10:00:00Z","heartbeat_seconds":5,"build":{{
            "number":3,"key":"{digest}","target":{{"release":"6.1.0","architecture":"x86_64"}},
            "config":"{digest}","fixes":[],"checks":[],"attempt":1}}}}"#,
        digest = Sha256Digest::of(b"config")
    );
    serde_json::from_str(&text).expect("a lease")
}

#[tokio::test]
async fn lease_calls_carry_the_token_and_check_the_digest() {
    let digest = Sha256Digest::of(b"config");
    let (client, script) = client([
        Answer::Given(204, "", vec![]),
        Answer::Given(200, "", vec![Some("con".into()), Some("fig".into())]),
        Answer::Given(200, "", vec![Some("other".into())]),
    ]);
    let claim = ClaimRequest {
        worker: "one".to_owned(),
        builder: elivepatch_model::BuilderIdentity::default().stamp(),
        architectures: vec![Architecture::X86_64],
        warm_releases: Vec::new(),
        wait_seconds: 0,
    };
    assert_eq!(client.claim(&claim).await.expect("an answer"), None);
    let leased = client.leased(&lease());
    assert_eq!(&leased.blob(digest, 100).await.expect("the blob")[..], b"config");
    let error = leased.blob(digest, 100).await.expect_err("other bytes");
    assert!(matches!(error, ClientError::Digest { .. }), "{error:?}");
    let requests = script.requests.lock().expect("no panic");
    assert_eq!(requests[0].uri().path(), "/worker/v2/leases");
    assert_eq!(requests[1].uri().path(), format!("/worker/v2/builds/3/blobs/{digest}"));
    assert_eq!(requests[1].headers()[crate::LEASE_HEADER], "secret");
    // Where the access token goes, of a worker on another machine.
    assert!(!requests[1].headers().contains_key("authorization"));
}
