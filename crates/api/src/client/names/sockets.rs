use std::{
    io,
    net::{SocketAddr, SocketAddrV6},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use hickory_resolver::net::runtime::{
    DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use tokio::{
    io::{Interest, ReadBuf},
    net::UdpSocket,
};

type Opening<Socket> = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;

/// The sockets for one name server.
#[derive(Clone)]
pub(super) struct Sockets {
    scope: u32,
    inner: TokioRuntimeProvider,
}

impl Sockets {
    /// `scope` is the number of the interface behind which a link-local address is; 0 for others.
    pub(super) fn new(scope: u32) -> Self {
        Self { scope, inner: TokioRuntimeProvider::default() }
    }

    fn scoped(&self, server: SocketAddr) -> SocketAddr {
        match server {
            SocketAddr::V6(six) => SocketAddrV6::new(*six.ip(), six.port(), 0, self.scope).into(),
            four => four,
        }
    }
}

impl RuntimeProvider for Sockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Connected;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> TokioHandle {
        self.inner.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        own: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        self.inner.connect_tcp(self.scoped(server), own, patience)
    }

    fn bind_udp(&self, own: SocketAddr, server: SocketAddr) -> Opening<Connected> {
        let server = self.scoped(server);
        Box::pin(async move {
            let socket = UdpSocket::bind(own).await?;
            socket.connect(server).await?;
            Ok(Connected(socket))
        })
    }
}

/// A socket that speaks with one name server only, and so hears at once when nothing listens there.
pub(super) struct Connected(UdpSocket);

#[async_trait]
impl DnsUdpSocket for Connected {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        let from = ready!(self.0.poll_recv_from(context, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), from)))
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            // Whoever waits for an answer only is not woken by an error.
            let ready = self.0.ready(Interest::READABLE | Interest::ERROR).await?;
            let received = if ready.is_readable() {
                self.0.try_recv_from(buffer)
            } else {
                let error = || self.0.take_error()?.map_or(Ok(()), Err);
                self.0
                    .try_io(Interest::ERROR, || error().and(Err(io::ErrorKind::WouldBlock.into())))
            };
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }

    /// To the name server, whatever the target: the target lacks the interface.
    fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        message: &[u8],
        _target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send(context, message)
    }
}
