use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::Listener;
use elivepatch_api::{ApiError, ErrorBody, ErrorCode};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::ServerCertificate;

/// How long a handshake may take: two round trips on a far link, several times over.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many handshakes go on at the same time; further connections wait in the kernel's queue. Each takes some
/// 30 kB of memory.
const HANDSHAKES: usize = 512;

/// The first byte of a connection that speaks TLS: a record with a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// A listener whose connections are encrypted. Handshakes go on beside each other, so that a slow one keeps nobody
/// waiting, and each has a time limit.
#[derive(Debug)]
pub struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    accepting: JoinHandle<()>,
}

impl TlsListener {
    /// Accepts connections on `listener` from now on.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(listener: TcpListener, certificate: Arc<ServerCertificate>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (send, ready) = mpsc::channel(1);
        let acceptor = TlsAcceptor::from(Arc::new(certificate.config()));
        let accepting = tokio::spawn(accept(listener, acceptor, send));
        Ok(Self { address, ready, accepting })
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The task that accepts ends only with this listener, or by a panic, which the log has.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept(
    mut listener: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let turns = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let turn = Arc::clone(&turns).acquire_owned().await.expect("it is never closed");
        // axum's: it waits a little when the process has no file descriptors left.
        let (connection, peer) = Listener::accept(&mut listener).await;
        tokio::spawn(shake_hands(connection, peer, acceptor.clone(), ready.clone(), turn));
    }
}

async fn shake_hands(
    connection: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
    turn: OwnedSemaphorePermit,
) {
    // Events are small and should leave at once. A connection without it works as well.
    let _ = connection.set_nodelay(true);
    let handshake = async {
        let mut first = [0];
        if connection.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
            refuse_plain(connection).await?;
            return Err(io::Error::other("it does not speak TLS"));
        }
        acceptor.accept(connection).await
    };
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await;
    drop(turn);
    match shaken {
        // Nobody is there any more when the server stops.
        Ok(Ok(connection)) => drop(ready.send((connection, peer)).await),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no connection came about"),
        Err(_) => tracing::debug!(%peer, "the handshake took too long"),
    }
}

/// Tells somebody who does not speak TLS that he should, in what he most likely speaks.
async fn refuse_plain(mut connection: TcpStream) -> io::Result<()> {
    let error = ApiError {
        code: ErrorCode::Forbidden,
        message: "this server takes encrypted connections only".to_owned(),
        hint: "write its address with https://".to_owned(),
        request_id: uuid::Uuid::now_v7().simple().to_string(),
        failure: None,
    };
    let body = serde_json::to_string(&ErrorBody { error }).expect("it has a JSON form");
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(answer.as_bytes()).await?;
    connection.shutdown().await?;
    // What was sent and is not read would make the kernel reset the connection, and the answer be lost.
    let mut rest = tokio::io::AsyncReadExt::take(connection, 64 * 1024);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}
