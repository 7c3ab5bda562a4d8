//! The listener as clients meet it: the real one of elivepatch, and some that mean no good.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use axum::{Router, routing::get, serve::ListenerExt as _};
use camino::Utf8PathBuf;
use elivepatch_api::{
    HealthResource, HealthState,
    client::{CertificatePin, Client, ClientError, ServerAccess, TransportError},
};
use elivepatch_model::with_causes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

struct Served {
    address: SocketAddr,
    certificate: std::sync::Arc<ServerCertificate>,
    place: MadeCertificate,
    stop: tokio::sync::oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

fn made() -> (tempfile::TempDir, MadeCertificate) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = Utf8PathBuf::try_from(directory.path().to_owned()).expect("UTF-8");
    let place = MadeCertificate::of(&path);
    assert!(!place.exists());
    make_certificate(&place, Ipv4Addr::LOCALHOST.into()).expect("made");
    assert!(place.exists());
    (directory, place)
}

/// A server that says that it is well.
async fn serve() -> Served {
    let (_directory, place) = made();
    let certificate = ServerCertificate::read(&place.certificate, &place.key).expect("it fits");
    let certificate = std::sync::Arc::new(certificate);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it has one");
    let listener = TlsListener::new(listener, certificate.clone()).expect("it listens");
    let health = HealthResource {
        state: HealthState::Ok,
        problems: vec![],
        queued: 0,
        running: 0,
        workers: vec![],
    };
    let router =
        Router::new().route("/api/v2/health", get(async move || axum::Json(health.clone())));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let ended = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        let listener = listener.tap_io(|_| {});
        axum::serve(listener, service).with_graceful_shutdown(stopped).await.expect("served");
    });
    Served { address, certificate, place, stop, ended, _directory }
}

impl Served {
    async fn ask(&self, scheme: &str, pin: Option<CertificatePin>) -> Result<(), ClientError> {
        let url = format!("{scheme}://{}", self.address).parse().expect("an address");
        let access = ServerAccess { token: None, certificate: pin };
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

#[tokio::test]
async fn handshake_has_a_time_limit() {
    let served = serve().await;
    let mut connection = TcpStream::connect(served.address).await.expect("connected");
    // The beginning of a record of 512 bytes that never come.
    connection.write_all(&[0x16, 3, 1, 2, 0]).await.expect("sent");
    let mut rest = Vec::new();
    let ended = connection.read_to_end(&mut rest);
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
    assert!(ended.is_ok(), "the server still waits");
}

#[tokio::test]
async fn server_that_stops_ends_although_somebody_is_in_a_handshake() {
    let served = serve().await;
    let silent = TcpStream::connect(served.address).await.expect("connected");
    served.ask("https", Some(served.pin())).await.expect("answered");
    served.stop.send(()).expect("it runs");
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
    make_certificate(&served.place, Ipv4Addr::LOCALHOST.into()).expect("made");
    served.ask("https", Some(before)).await.expect("nobody has read it yet");
    served.certificate.read_again().expect("it fits");
    assert_ne!(served.pin(), before);
    served.ask("https", Some(served.pin())).await.expect("it is the new one");
    std::fs::write(&served.place.key, "").expect("own file");
    served.certificate.read_again().expect_err("there is no key");
    served.ask("https", Some(served.pin())).await.expect("it stays");
}

#[test]
fn key_is_for_its_owner_only_and_belongs_to_the_certificate() {
    let (_directory, place) = made();
    let mode = |path: &Utf8PathBuf| std::fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode(&place.key) & 0o777, 0o600);
    assert_eq!(mode(&place.key.parent().expect("it has one").to_owned()) & 0o777, 0o700);
    let (_other, other) = made();
    let error = ServerCertificate::read(&place.certificate, &other.key).expect_err("another's");
    assert!(matches!(error, TlsError::Unusable { .. }), "{error:?}");
    let error = ServerCertificate::read(&place.key, &place.key).expect_err("no certificate");
    assert!(error.to_string().starts_with("cannot read a certificate in "), "{error}");
    let error = ServerCertificate::read(&place.certificate, &place.certificate);
    assert!(error.expect_err("no key").to_string().starts_with("cannot read a private key in "));
    let missing = place.key.with_extension("missing");
    ServerCertificate::read(&missing, &place.key).expect_err("it is not there");
}
