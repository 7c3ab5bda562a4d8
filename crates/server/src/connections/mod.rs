//! Connections: accepted, encrypted where the server has a certificate, and answered. Whoever says nothing, or says
//! it very slowly, is cut off before he keeps others out.

mod peers;
mod slow_body;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    serve::Listener,
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) use self::slow_body::TooSlow;
use self::{
    peers::{Peers, Turn},
    slow_body::watched,
};
use crate::tls::{self, ServerCertificate};

/// What connections may take of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long the head of a request may take, and how long a connection stays open with nothing asked.
    pub head: Duration,
    /// How long nothing may come of a request's body, and nothing of an answer be taken.
    pub pause: Duration,
    /// How long a request's body may take as a whole, from when it is first asked for.
    pub body: Duration,
    /// How many connections are open at the same time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How many of them one address, or of IPv6 one network of 48 bits, may have; further ones are closed. This machine itself, where a proxy may stand
    /// for everybody, has no such limit.
    pub connections_of_address: usize,
}

impl Default for ConnectionLimits {
    /// - A handshake takes two round trips: on a far link, several times over, 10 s.
    /// - Pauses have 60 s, as nginx gives them (`client_body_timeout`, `send_timeout`); the head 75 s, as nginx keeps idle
    ///   connections (`keepalive_timeout`): proxies that keep theirs for 60 s are never the later ones.
    /// - A body has six minutes: a minute more than the form of a submission, which says itself what it lacks.
    /// - 4096 connections: each takes some 30 kB of memory, and an open file.
    /// - 512 of one address: enough for the hosts behind one, of which each asks for a moment now and then, and an
    ///   eighth of what there is for somebody who means no good.
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(75),
            pause: Duration::from_secs(60),
            body: Duration::from_secs(360),
            connections: 4096,
            connections_of_address: 512,
        }
    }
}

/// How many probes of the kernel a silent client may leave without answer.
const PROBES: u32 = 3;

/// Answers connections to `listener` by `router`, encrypted when there is a certificate, until `stop`; and then goes on
/// until what is being answered has ended. A request has the address of its client as
/// `ConnectInfo<SocketAddr>`.
pub async fn serve(
    mut listener: TcpListener,
    certificate: Option<Arc<ServerCertificate>>,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    let acceptor = certificate.map(|certificate| TlsAcceptor::from(Arc::new(certificate.config())));
    let open = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.connections));
    let peers = Arc::new(Peers::new(limits.connections_of_address));
    loop {
        // axum's accept waits a little when the process has no file descriptors left.
        let accepted = async {
            let room = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
            let (stream, peer) = Listener::accept(&mut listener).await;
            (stream, peer, room)
        };
        let (stream, peer, room) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let Some(turn) = peers.turn(peer.ip()) else { continue };
        let connection = Connection { peer, limits, watcher: open.watcher(), room, turn };
        tokio::spawn(connection.carry(stream, acceptor.clone(), router.clone(), stop.clone()));
    }
    drop(listener);
    open.shutdown().await;
}

/// Tells the kernel what becomes of a connection on which nothing is said (tcp(7)).
///
/// Who waits for a build may hear nothing for an hour, and packet filters and NAT forget connections that are idle for
/// some minutes: so it is probed. Where there is a user timeout, the kernel does not count the probes that get no
/// answer; one is enough for it when nothing has come for that time. So all of them are sent within it: a single lost
/// packet must not end the connection.
fn set_options(stream: &TcpStream, pause: Duration) -> std::io::Result<()> {
    // Events are small and should leave at once.
    stream.set_nodelay(true)?;
    // Who does not take what is sent to him is cut off.
    sockopt::set_tcp_user_timeout(stream, pause.as_millis().try_into().unwrap_or(u32::MAX))?;
    let between = (pause / (PROBES + 1)).max(Duration::from_secs(1));
    sockopt::set_tcp_keepidle(stream, between)?;
    sockopt::set_tcp_keepintvl(stream, between)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

/// One connection, and what it holds as long as it is open.
struct Connection {
    peer: SocketAddr,
    limits: ConnectionLimits,
    watcher: Watcher,
    room: OwnedSemaphorePermit,
    turn: Turn,
}

impl Connection {
    async fn carry(
        self,
        stream: TcpStream,
        acceptor: Option<TlsAcceptor>,
        router: Router,
        stop: CancellationToken,
    ) {
        // A connection without them works as well.
        let _ = set_options(&stream, self.limits.pause);
        let Some(acceptor) = acceptor else { return self.answer(stream, router).await };
        let peer = self.peer;
        let handshake = tokio::time::timeout(self.limits.handshake, tls::accept(stream, &acceptor));
        tokio::select! {
            shaken = handshake => match shaken {
                Ok(Ok(stream)) => self.answer(stream, router).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no connection came about"),
                Err(_) => tracing::debug!(%peer, "the handshake took too long"),
            },
            () = stop.cancelled() => {}
        }
    }

    async fn answer(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        router: Router,
    ) {
        let Self { peer, limits, watcher, room: _room, turn: _turn } = self;
        let service = router.map_request(move |request: Request<Incoming>| {
            let mut request = request.map(|body| watched(body, limits.pause, limits.body));
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%peer, %error, "a connection ended before its time");
        }
    }
}
