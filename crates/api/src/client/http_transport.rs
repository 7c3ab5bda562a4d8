use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use elivepatch_model::AccessToken;
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use super::{
    BodyStream, CertificatePin, ServerUrl, Transport, TransportError, certificate::PinVerifier,
    names::HostNames,
};

/// How long a connection may take to come about. Long enough for a lost SYN and its second
/// repetition (1 s and 3 s after the first) on a far link.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After so long without traffic the kernel asks whether the other side is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(20);

/// So long a connection is kept for the next request: less than the server keeps one on which nothing is asked (75 s).
const POOL_IDLE: Duration = Duration::from_secs(30);

/// How a server is asked: with which token, and by which certificate it is known.
#[derive(Debug, Clone, Default)]
pub struct ServerAccess {
    /// Shown with each request; absent: none is.
    pub token: Option<AccessToken>,
    /// The only certificate that the server may have; absent: one that the system trusts.
    pub certificate: Option<CertificatePin>,
}

/// Requests over HTTP or HTTPS, with rustls and the system's root certificates, or one certificate.
///
/// A token is sent over an encrypted connection only, but for a server on this machine.
///
/// There is no limit on the time of a whole request, since event streams last as long as a build.
/// The system's proxies are used, but never for a server on the loopback interface. Redirects are
/// not followed: they would turn a submission into a plain `GET`.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    server: ServerUrl,
    client: reqwest::Client,
    /// The header with the token.
    token: Option<HeaderValue>,
    /// Of a server that is known by its certificate.
    verifier: Option<Arc<PinVerifier>>,
}

impl HttpTransport {
    /// A transport to `server`. `user_agent` names the program, such as `elivepatch/0.1.0`.
    ///
    /// # Errors
    /// [`TransportError::Invalid`] when TLS cannot be set up or `user_agent` is no header value.
    pub fn new(
        server: ServerUrl,
        user_agent: &str,
        access: &ServerAccess,
    ) -> Result<Self, TransportError> {
        let verifier = access.certificate.map(|pin| PinVerifier::new(Some(pin)));
        Self::with_verifier(server, user_agent, access.token.as_ref(), verifier)
    }

    /// A transport to `server` that never comes to a request, to see its certificate.
    pub(super) fn that_looks(server: ServerUrl, user_agent: &str) -> Result<Self, TransportError> {
        Self::with_verifier(server, user_agent, None, Some(PinVerifier::new(None)))
    }

    fn with_verifier(
        server: ServerUrl,
        user_agent: &str,
        token: Option<&AccessToken>,
        verifier: Option<Arc<PinVerifier>>,
    ) -> Result<Self, TransportError> {
        let token = token.map(|token| {
            let text = format!("Bearer {}", token.reveal());
            let mut value = HeaderValue::from_str(&text).expect("a token is plain text");
            value.set_sensitive(true);
            value
        });
        if let Some(verifier) = verifier.filter(|_| server.is_encrypted()) {
            let failed = |source: rustls::Error| TransportError::Invalid {
                peer: server.to_string(),
                source: source.into(),
            };
            let config = Arc::clone(&verifier).config().map_err(failed)?;
            let builder = builder(&server, user_agent);
            let built = builder.tls_backend_preconfigured(config).build();
            let client = built.map_err(|error| invalid(server.as_str(), error))?;
            return Ok(Self { server, client, token, verifier: Some(verifier) });
        }
        let builder = || builder(&server, user_agent);
        let built = match builder().build() {
            // A small system may have no root certificates, and without encryption none are needed.
            Err(_) if !server.is_encrypted() => builder().tls_certs_only([]).build(),
            built => built,
        };
        match built {
            Ok(client) => Ok(Self { server, client, token, verifier: None }),
            Err(error) => Err(invalid(server.as_str(), error)),
        }
    }

    /// Adds the token, and sees to it that none goes where others can read it.
    fn authorised(&self, mut headers: HeaderMap) -> Result<HeaderMap, TransportError> {
        if let Some(token) = &self.token {
            headers.entry(AUTHORIZATION).or_insert_with(|| token.clone());
        }
        let is_private = self.server.is_encrypted() || self.server.is_loopback();
        if headers.contains_key(AUTHORIZATION) && !is_private {
            return Err(TransportError::Unencrypted { peer: self.server.to_string() });
        }
        Ok(headers)
    }

    /// Why no connection came about.
    fn classify(&self, error: reqwest::Error) -> TransportError {
        let peer = self.server.as_str();
        let mismatch = self.verifier.as_ref().and_then(|verifier| verifier.mismatch());
        match mismatch {
            Some((expected, seen)) if error.is_connect() => {
                let (expected, seen) = (expected.map(Box::new), Box::new(seen));
                TransportError::Certificate { peer: peer.to_owned(), expected, seen }
            }
            _ => classify(peer, error),
        }
    }
}

fn builder(server: &ServerUrl, user_agent: &str) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(user_agent)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(TCP_KEEPALIVE)
        .pool_idle_timeout(POOL_IDLE)
        .redirect(reqwest::redirect::Policy::none());
    // A program that is linked dynamically has the machine's own C library, and may ask that.
    let builder = match cfg!(target_feature = "crt-static") {
        true => builder.dns_resolver(HostNames::of_this_machine()),
        false => builder,
    };
    if server.is_loopback() { builder.no_proxy() } else { builder }
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
        if let Some(verifier) = &self.verifier {
            verifier.forget();
        }
        let answer = self
            .client
            .request(parts.method, url)
            .headers(self.authorised(parts.headers)?)
            .body(body)
            .send()
            .await
            .map_err(|error| self.classify(error))?;
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
