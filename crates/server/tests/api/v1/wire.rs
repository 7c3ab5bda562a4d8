//! Refused orders on real connections: they are answered at once, and not read for long.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use elivepatch_server::{
    Reach,
    connections::{ConnectionLimits, serve},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{GET_FILES, PARTS, SESSION, finish_build, order, send};
use crate::support::{RELEASE, Server};

const MIB: usize = 1 << 20;

/// A listener that stops with the test.
struct Listening {
    server: Server,
    address: SocketAddr,
    _stop: DropGuard,
}

impl Listening {
    async fn of(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let router = elivepatch_server::public_router(server.app.clone(), Reach::Loopback);
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, None, router, ConnectionLimits::default(), stop.clone()));
        Self { server, address, _stop: stop.drop_guard() }
    }

    /// A connection on which the head of an order was sent.
    async fn begin(&self, path: &str, session: &str, bytes: usize) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.expect("connected");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nKernelVersion: {RELEASE}\r\nUUID: {session}\r\n\
             Content-Type: multipart/form-data; boundary=f00\r\nContent-Length: {bytes}\r\n\r\n",
            self.address
        );
        connection.write_all(head.as_bytes()).await.expect("sent");
        connection
    }
}

/// The head of an answer, and what there is of its body.
async fn answer_on(connection: &mut TcpStream) -> String {
    let mut answer = vec![0; 16 * 1024];
    let read = tokio::time::timeout(Duration::from_secs(8), connection.read(&mut answer)).await;
    let read = read.expect("it is answered at once").expect("it is answered");
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// Sends up to so many bytes; gives how many the server took until it closed.
async fn send_bytes(connection: &mut TcpStream, bytes: usize) -> usize {
    let piece = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < bytes {
        let length = piece.len().min(bytes - sent);
        if connection.write_all(&piece[..length]).await.is_err() {
            break;
        }
        sent += length;
    }
    sent
}

#[tokio::test]
async fn refused_order_is_answered_before_anything_of_it_has_come_and_the_connection_ends() {
    for (server, path, session, status) in [
        (Server::without_v1().await, GET_FILES, SESSION, "403"),
        (Server::without_v1().await, "/elivepatch/api/v1.0/send_livepatch", SESSION, "403"),
        (Server::new().await, GET_FILES, "../../etc/passwd", "400"),
    ] {
        let listening = Listening::of(server).await;
        let mut connection = listening.begin(path, session, 100 * MIB).await;
        let answer = answer_on(&mut connection).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
        // What the sockets themselves hold comes on top of what is read.
        let sent = send_bytes(&mut connection, 100 * MIB).await;
        assert!(sent < 40 * MIB, "{sent} bytes were taken");
    }
}

#[tokio::test]
async fn client_that_sends_all_before_it_looks_reads_why_its_order_was_refused() {
    let listening = Listening::of(Server::without_v1().await).await;
    for bytes in [1, 300 * 1024, 3 * MIB] {
        let mut connection = listening.begin(GET_FILES, SESSION, bytes).await;
        assert_eq!(send_bytes(&mut connection, bytes).await, bytes);
        let mut answer = String::new();
        let read = connection.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("it ends").expect("read");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{bytes}: {answer}");
        assert!(answer.contains("the REST API v1.0 is switched off"), "{bytes}: {answer}");
    }
}

#[tokio::test]
async fn client_that_sends_all_before_it_looks_reads_which_part_was_refused() {
    let listening = Listening::of(Server::new().await).await;
    for (name, status, part) in
        [("main_patch", "422", "1048576 bytes"), ("other", "400", "there is no part")]
    {
        let begin = format!("--f00\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        let half = 3 * MIB / 2;
        let mut connection = listening.begin(GET_FILES, SESSION, begin.len() + 2 * half).await;
        connection.write_all(begin.as_bytes()).await.expect("sent");
        assert_eq!(send_bytes(&mut connection, half).await, half);
        // It is refused by now, and the line is slow.
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert_eq!(send_bytes(&mut connection, half).await, half);
        let mut answer = String::new();
        let read = connection.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("it ends").expect("read");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        assert!(answer.contains(part), "{name}: {answer}");
    }
}

#[tokio::test]
async fn order_that_is_refused_while_it_comes_in_is_not_read_to_its_end() {
    let listening = Listening::of(Server::new().await).await;
    let mut connection = listening.begin(GET_FILES, SESSION, 100 * MIB).await;
    let begin = "--f00\r\nContent-Disposition: form-data; name=\"main_patch\"\r\n\r\n";
    connection.write_all(begin.as_bytes()).await.expect("sent");
    let (mut reading, mut writing) = connection.into_split();
    let began = Instant::now();
    let sending = tokio::spawn(async move {
        let piece = vec![b'x'; 64 * 1024];
        let mut sent = 0;
        while sent < 100 * MIB && writing.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        sent
    });
    let mut answer = vec![0; 16 * 1024];
    let read = tokio::time::timeout(Duration::from_secs(20), reading.read(&mut answer)).await;
    let read = read.expect("it is answered").expect("it is answered");
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains("1048576 bytes"), "{answer}");
    let sent = sending.await.expect("no panic");
    assert!(sent < 40 * MIB, "{sent} bytes were taken");
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn session_that_was_seen_is_answered_before_anything_of_it_has_come() {
    let listening = Listening::of(Server::new().await).await;
    let waiting = send(&listening.server.app, order(RELEASE, SESSION, &PARTS));
    finish_build(&listening.server).await;
    waiting.await.expect("no panic");
    let mut connection = listening.begin(GET_FILES, SESSION, 100 * MIB).await;
    let answer = answer_on(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 201 ") && answer.contains("was seen before"), "{answer}");
}

#[tokio::test]
async fn form_of_v2_that_is_refused_at_its_end_is_told_why() {
    let listening = Listening::of(Server::new().await).await;
    let part = "--f00\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n";
    for (form, status, told) in [
        (format!("{part}{{}}\r\n--f00--\r\n"), "400", "missing field"),
        (format!("{part}{{}}"), "400", "the multipart form cannot be read"),
        (String::new(), "400", "the multipart form cannot be read"),
    ] {
        let mut connection = listening.begin("/api/v2/builds", SESSION, form.len()).await;
        connection.write_all(form.as_bytes()).await.expect("sent");
        let answer = answer_on(&mut connection).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{form:?}: {answer}");
        assert!(answer.contains(told), "{form:?}: {answer}");
    }
}
