//! The listener as clients meet it: the real one of elivepatch, and some that mean no good.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    routing::{get, post},
};
use elivepatch_api::{
    HealthResource, HealthState,
    client::{CertificatePin, Client, ClientError, ServerAccess, TransportError},
};
use elivepatch_model::with_causes;
use futures::stream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::tls::{MadeCertificate, made, make_certificate};

struct Served {
    address: SocketAddr,
    certificate: Arc<ServerCertificate>,
    place: MadeCertificate,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

/// A server that says that it is well.
async fn serve() -> Served {
    serve_with(ConnectionLimits::default()).await
}

/// Limits that a test can wait for.
fn short() -> ConnectionLimits {
    let short = Duration::from_millis(300);
    ConnectionLimits { handshake: short, head: short, pause: short, ..ConnectionLimits::default() }
}

async fn serve_with(limits: ConnectionLimits) -> Served {
    let (_directory, place) = made();
    let certificate = ServerCertificate::read(&place.certificate, &place.key).expect("it fits");
    let certificate = Arc::new(certificate);
    let (address, stop, ended) = listen(Some(Arc::clone(&certificate)), limits).await;
    Served { address, certificate, place, stop, ended, _directory }
}

async fn listen(
    certificate: Option<Arc<ServerCertificate>>,
    limits: ConnectionLimits,
) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let health = HealthResource {
        state: HealthState::Ok,
        problems: vec![],
        queued: 0,
        running: 0,
        workers: vec![],
    };
    let router = Router::new()
        .route("/api/v2/health", get(async move || axum::Json(health.clone())))
        .route("/body", post(async |body: Bytes| format!("{} bytes", body.len())))
        .route("/peer", get(async |peer: ConnectInfo<SocketAddr>| peer.ip().to_string()));
    listen_with(certificate, limits, router).await
}

async fn listen_with(
    certificate: Option<Arc<ServerCertificate>>,
    limits: ConnectionLimits,
    router: Router,
) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it has one");
    let stop = CancellationToken::new();
    let ended = tokio::spawn(super::serve(listener, certificate, router, limits, stop.clone()));
    (address, stop, ended)
}

impl Served {
    async fn ask(&self, scheme: &str, pin: Option<CertificatePin>) -> Result<(), ClientError> {
        let url = format!("{scheme}://{}", self.address).parse().expect("an address");
        let access = ServerAccess { certificate: pin, ..ServerAccess::default() };
        let client = Client::over_http_as(url, "test", &access)?;
        client.health().await.map(drop)
    }

    fn pin(&self) -> CertificatePin {
        self.certificate.fingerprint().to_string().parse().expect("a fingerprint")
    }
}

#[tokio::test]
async fn client_knows_the_server_by_its_certificate_and_takes_no_other() {
    let served = serve().await;
    served.ask("https", Some(served.pin())).await.expect("it is the right one");
    let other: CertificatePin = "ab".repeat(32).parse().expect("a fingerprint");
    let error = served.ask("https", Some(other)).await.expect_err("it is another one");
    assert!(!error.is_passing());
    match error {
        ClientError::Unreachable {
            source: TransportError::Certificate { expected, seen, .. },
            ..
        } => assert_eq!((expected.as_deref(), *seen), (Some(&other), served.pin())),
        other => panic!("{other:?}"),
    }
    let url = format!("https://{}", served.address).parse().expect("an address");
    let seen = Client::certificate_of(url, "test").await.expect("it has one");
    assert_eq!(seen, served.pin());
}

#[tokio::test]
async fn certificate_that_nobody_has_signed_is_not_trusted_by_itself() {
    let served = serve().await;
    let error = served.ask("https", None).await.expect_err("nobody knows it");
    let text = with_causes(&error);
    // A machine without root certificates knows nobody at all.
    assert!(text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_told_so() {
    let served = serve().await;
    let error = served.ask("http", None).await.expect_err("it is not encrypted");
    assert!(error.to_string().contains("takes encrypted connections only"), "{error}");
    assert_eq!(error.code(), Some(elivepatch_api::ErrorCode::Forbidden));
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = plain.local_addr().expect("it has one");
    tokio::spawn(async move { axum::serve(plain, Router::new()).await });
    let url = format!("https://{address}").parse().expect("an address");
    let error = Client::certificate_of(url, "test").await.expect_err("it does not speak TLS");
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_waiting() {
    let served = serve().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(served.address).await.expect("connected"));
    }
    let asked = served.ask("https", Some(served.pin()));
    tokio::time::timeout(Duration::from_secs(5), asked).await.expect("at once").expect("answered");
}

/// What comes until the other side ends the connection, which it does soon.
async fn rest_of(connection: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut rest));
    // A reset ends it as well.
    let _ = ended.await.expect("the server still waits");
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn handshake_has_a_time_limit() {
    let served = serve_with(short()).await;
    let mut connection = TcpStream::connect(served.address).await.expect("connected");
    // The beginning of a record of 512 bytes that never come.
    connection.write_all(&[0x16, 3, 1, 2, 0]).await.expect("sent");
    rest_of(&mut connection).await;
}

#[tokio::test]
async fn who_asks_nothing_or_never_ends_asking_is_cut_off() {
    let (address, _stop, _ended) = listen(None, short()).await;
    for sent in ["", "GET /peer HT", "GET /peer HTTP/1.1\r\nhost: here\r\n\r\n"] {
        let mut connection = TcpStream::connect(address).await.expect("connected");
        connection.write_all(sent.as_bytes()).await.expect("sent");
        let answer = rest_of(&mut connection).await;
        let is_whole = sent.ends_with("\r\n\r\n");
        assert_eq!(answer.ends_with("127.0.0.1"), is_whole, "{sent}: {answer}");
    }
}

#[tokio::test]
async fn body_that_stops_coming_ends_the_connection_and_a_slow_one_does_not() {
    let (address, _stop, _ended) = listen(None, short()).await;
    let head = "POST /body HTTP/1.1\r\nhost: here\r\ncontent-length: 8\r\n\r\n";
    let mut connection = TcpStream::connect(address).await.expect("connected");
    connection.write_all(head.as_bytes()).await.expect("sent");
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        connection.write_all(b"x").await.expect("sent");
    }
    assert!(rest_of(&mut connection).await.ends_with("8 bytes"));
    let mut connection = TcpStream::connect(address).await.expect("connected");
    connection.write_all(head.as_bytes()).await.expect("sent");
    connection.write_all(b"xxx").await.expect("sent");
    let answer = rest_of(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

/// Reads a body only when the time of one has gone by.
async fn read_late(body: axum::body::Body) -> String {
    tokio::time::sleep(LIMIT_OF_LATE_BODIES * 2).await;
    let bytes = axum::body::to_bytes(body, 64).await.expect("it may still come");
    format!("{} bytes", bytes.len())
}

const LIMIT_OF_LATE_BODIES: Duration = Duration::from_secs(1);

#[tokio::test]
async fn time_of_a_body_begins_when_the_server_reads_it() {
    let limits = ConnectionLimits { body: LIMIT_OF_LATE_BODIES, ..ConnectionLimits::default() };
    let router = Router::new().route("/late", post(read_late));
    let (address, _stop, _ended) = listen_with(None, limits, router).await;
    let mut connection = TcpStream::connect(address).await.expect("connected");
    let head =
        "POST /late HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: 8\r\n\r\nabcd";
    connection.write_all(head.as_bytes()).await.expect("sent");
    // Half of it comes a little after the server begins to read: it has not come when it looks first.
    tokio::time::sleep(LIMIT_OF_LATE_BODIES * 2 + LIMIT_OF_LATE_BODIES / 4).await;
    connection.write_all(b"efgh").await.expect("sent");
    let answer = rest_of(&mut connection).await;
    assert!(answer.ends_with("8 bytes"), "{answer}");
}

#[tokio::test]
async fn silent_connection_is_probed_three_times_before_it_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it has one");
    let _client = TcpStream::connect(address).await.expect("connected");
    let (accepted, _) = listener.accept().await.expect("accepted");
    let pause = ConnectionLimits::default().pause;
    set_options(&accepted, pause).expect("Linux has all of them");
    assert!(sockopt::socket_keepalive(&accepted).expect("read"));
    let first = sockopt::tcp_keepidle(&accepted).expect("read");
    let between = sockopt::tcp_keepintvl(&accepted).expect("read");
    let user_timeout = sockopt::tcp_user_timeout(&accepted).expect("read");
    assert_eq!((first, between), (Duration::from_secs(15), Duration::from_secs(15)));
    assert_eq!(sockopt::tcp_keepcnt(&accepted).expect("read"), 3);
    assert_eq!(Duration::from_millis(user_timeout.into()), pause);
    assert!(first + between * 2 < pause, "the third probe is sent before the end");
    assert!(accepted.nodelay().expect("read"));
    set_options(&accepted, short().pause).expect("a second is the least");
}

#[tokio::test]
async fn further_connections_wait_until_there_is_room() {
    let limits = ConnectionLimits { connections: 2, ..short() };
    let served = serve_with(limits).await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(served.address).await.expect("connected"));
    }
    let begun = Instant::now();
    let asked = served.ask("https", Some(served.pin()));
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("in time").expect("answered");
    // Those before it were ended by the clock.
    assert!(begun.elapsed() > Duration::from_millis(150), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn connection_that_has_ended_leaves_its_room() {
    let limits = ConnectionLimits { connections: 1, ..short() };
    let served = serve_with(limits).await;
    for scheme in ["https", "http", "https", "http", "https"] {
        let asked = served.ask(scheme, Some(served.pin()));
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("in time");
        assert_eq!(answer.is_ok(), scheme == "https", "{answer:?}");
    }
}

/// Says that it has gone.
struct Gone(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.take().map(|gone| gone.send(()));
    }
}

#[tokio::test]
async fn who_does_not_take_his_answer_is_cut_off() {
    let (gone, has_gone) = tokio::sync::oneshot::channel();
    let gone = Arc::new(std::sync::Mutex::new(Some(Gone(Some(gone)))));
    let endless = move || {
        let guard = gone.lock().expect("no panic").take();
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let pieces = stream::repeat_with(move || {
            let _held = &guard;
            Ok::<_, std::convert::Infallible>(piece.clone())
        });
        async move { axum::body::Body::from_stream(pieces) }
    };
    let router = Router::new().route("/endless", get(endless));
    let (address, _stop, _ended) = listen_with(None, short(), router).await;
    let mut connection = TcpStream::connect(address).await.expect("connected");
    connection.write_all(b"GET /endless HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("sent");
    let waited = tokio::time::timeout(Duration::from_secs(30), has_gone).await;
    assert!(waited.is_ok(), "the server still holds the answer");
    drop(connection);
}

#[tokio::test]
async fn server_that_stops_ends_although_somebody_is_in_a_handshake() {
    let served = serve().await;
    let silent = TcpStream::connect(served.address).await.expect("connected");
    served.ask("https", Some(served.pin())).await.expect("answered");
    served.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), served.ended)
        .await
        .expect("it ends")
        .expect("well");
    drop(silent);
}

#[tokio::test]
async fn renewed_certificate_is_used_when_it_is_read_again() {
    let served = serve().await;
    let before = served.pin();
    std::fs::remove_file(&served.place.certificate).expect("own file");
    make_certificate(&served.place, Ipv4Addr::LOCALHOST.into()).expect("made");
    served.ask("https", Some(before)).await.expect("nobody has read it yet");
    served.certificate.read_again().expect("it fits");
    assert_ne!(served.pin(), before);
    served.ask("https", Some(served.pin())).await.expect("it is the new one");
    std::fs::write(&served.place.key, "").expect("own file");
    served.certificate.read_again().expect_err("there is no key");
    served.ask("https", Some(served.pin())).await.expect("it stays");
}
