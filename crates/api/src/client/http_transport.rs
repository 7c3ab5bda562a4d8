use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::{BodyStream, ServerUrl, Transport, TransportError};

/// How long a connection may take to come about. Long enough for a lost SYN and its second
/// repetition (1 s and 3 s after the first) on a far link.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After so long without traffic the kernel asks whether the other side is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(20);

/// Requests over HTTP or HTTPS, with rustls and the system's root certificates.
///
/// There is no limit on the time of a whole request, since event streams last as long as a build.
/// The system's proxies are used, but never for a server on the loopback interface. Redirects are
/// not followed: they would turn a submission into a plain `GET`.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    server: ServerUrl,
    client: reqwest::Client,
}

impl HttpTransport {
    /// A transport to `server`. `user_agent` names the program, such as `elivepatch/0.1.0`.
    ///
    /// # Errors
    /// [`TransportError::Invalid`] when TLS cannot be set up or `user_agent` is no header value.
    pub fn new(server: ServerUrl, user_agent: &str) -> Result<Self, TransportError> {
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(user_agent)
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_keepalive(TCP_KEEPALIVE)
                .redirect(reqwest::redirect::Policy::none());
            if server.is_loopback() { builder.no_proxy() } else { builder }
        };
        let built = match builder().build() {
            // A small system may have no root certificates, and without encryption none are needed.
            Err(_) if !server.is_encrypted() => builder().tls_certs_only([]).build(),
            built => built,
        };
        match built {
            Ok(client) => Ok(Self { server, client }),
            Err(error) => Err(invalid(server.as_str(), error)),
        }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<BodyStream>, TransportError> {
        let peer = self.server.as_str();
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = reqwest::Url::parse(&format!("{peer}{path}")).map_err(|error| {
            TransportError::Invalid { peer: peer.to_owned(), source: error.into() }
        })?;
        let answer = self
            .client
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body)
            .send()
            .await
            .map_err(|error| classify(peer, error))?;
        let mut response = http::Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = answer.headers().clone();
        }
        let owned = peer.to_owned();
        let body = answer.bytes_stream().map_err(move |error| lost(&owned, error)).boxed();
        response
            .body(body)
            .map_err(|error| TransportError::Lost { peer: peer.to_owned(), source: error.into() })
    }

    fn peer(&self) -> &str {
        self.server.as_str()
    }
}

fn classify(peer: &str, error: reqwest::Error) -> TransportError {
    if error.is_builder() {
        invalid(peer, error)
    } else if error.is_connect() {
        let source = error.without_url().into();
        TransportError::Connect { peer: peer.to_owned(), source }
    } else {
        lost(peer, error)
    }
}

fn lost(peer: &str, error: reqwest::Error) -> TransportError {
    TransportError::Lost { peer: peer.to_owned(), source: error.without_url().into() }
}

fn invalid(peer: &str, error: reqwest::Error) -> TransportError {
    TransportError::Invalid { peer: peer.to_owned(), source: error.without_url().into() }
}
