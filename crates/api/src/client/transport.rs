use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::CertificatePin;

/// The body of an answer, as it arrives.
pub type BodyStream = BoxStream<'static, Result<Bytes, TransportError>>;

/// What the layer below a transport says.
pub type TransportSource = Box<dyn std::error::Error + Send + Sync>;

/// Why a request got no answer, or only part of one.
///
/// Its text never repeats its source; print the chain.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection came about: nothing listens, the name is unknown, TLS failed, time ran out.
    #[error("could not connect to {peer}")]
    Connect {
        /// The base URL, or what stands for it.
        peer: String,
        /// What the layer below says.
        #[source]
        source: TransportSource,
    },
    /// The connection ended in the middle of a request or of an answer, or fell silent.
    #[error("the connection to {peer} was lost")]
    Lost {
        /// The base URL, or what stands for it.
        peer: String,
        /// What the layer below says.
        #[source]
        source: TransportSource,
    },
    /// The server has another certificate than the only one that it may have.
    #[error("{peer} has the certificate {seen}")]
    Certificate {
        /// The base URL.
        peer: String,
        /// The one that it may have; absent: it was only looked which it has.
        expected: Option<Box<CertificatePin>>,
        /// The one that it has.
        seen: Box<CertificatePin>,
    },
    /// A token would go over a connection that is not encrypted, and not stay on this machine. Nothing was sent.
    #[error("a token is not sent to {peer}: the connection is not encrypted")]
    Unencrypted {
        /// The base URL.
        peer: String,
    },
    /// The request cannot be put on the wire: its URI or a header is not valid. A bug of the caller.
    #[error("the request to {peer} is not valid")]
    Invalid {
        /// The base URL, or what stands for it.
        peer: String,
        /// What the layer below says.
        #[source]
        source: TransportSource,
    },
}

/// Carries a request to a server and brings the answer back.
///
/// The URI of a request is a path with an optional query, such as `/api/v2/builds?limit=5`. There
/// is one implementation over HTTP ([`super::HttpTransport`]); a server that holds a worker of its
/// own has another, which calls the router in the same process.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends one request. Returns as soon as the head of the answer is there.
    ///
    /// # Errors
    /// When there is no answer. An answer with any status is not an error here.
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<BodyStream>, TransportError>;

    /// What errors call the other side: its base URL, or what stands for it.
    fn peer(&self) -> &str {
        "the server"
    }
}
