use super::{Transport, TransportError};
use crate::{ApiError, ErrorCode};

/// Why a call did not give what it asks for.
///
/// Its text never repeats its source; print the chain.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection to the server came about.
    #[error("cannot reach the server at {url}")]
    Unreachable {
        /// The server.
        url: String,
        /// What the transport says.
        #[source]
        source: TransportError,
    },
    /// The connection ended before the answer was complete, or the server fell silent.
    #[error("lost the connection to the server at {url}")]
    Lost {
        /// The server.
        url: String,
        /// What the transport says.
        #[source]
        source: TransportError,
    },
    /// The server answered with an error of the API.
    #[error("the server at {url} answered: {error}")]
    Api {
        /// The server.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server says.
        error: Box<ApiError>,
    },
    /// The answer is none that an elivepatch server gives: no JSON, another shape, a redirect.
    #[error(
        "the server at {url} gave an answer that is not elivepatch's (HTTP status {status}): {detail}"
    )]
    Protocol {
        /// The server.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        detail: String,
    },
    /// The answer is larger than anything that is expected.
    #[error("the server at {url} sent more than {limit_bytes} bytes as {what}")]
    TooLarge {
        /// The server.
        url: String,
        /// What was asked for.
        what: &'static str,
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// A token is for encrypted connections, and for this machine.
    #[error("a token is not sent to the server at {url}: the connection is not encrypted")]
    Unencrypted {
        /// The server.
        url: String,
    },
    /// The request could not be made. A bug of elivepatch.
    #[error("cannot make a request for the server at {url}")]
    Invalid {
        /// The server.
        url: String,
        /// What is wrong with it.
        #[source]
        source: TransportError,
    },
    /// Bytes that were asked for by their digest have another one.
    #[error("the server at {url} sent other bytes than those with the digest {digest}")]
    Digest {
        /// The server.
        url: String,
        /// The digest that was asked for.
        digest: elivepatch_model::Sha256Digest,
    },
}

impl ClientError {
    /// The code of an API error.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Api { error, .. } => Some(error.code),
            _ => None,
        }
    }

    /// Whether the same call may pass a little later: the server is away, starts again, or a
    /// proxy before it does not reach it.
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable { source, .. } => {
                !matches!(source, TransportError::Certificate { .. })
            }
            ClientError::Lost { .. } => true,
            ClientError::Api { status, .. } | ClientError::Protocol { status, .. } => {
                matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
            }
            ClientError::TooLarge { .. }
            | ClientError::Unencrypted { .. }
            | ClientError::Invalid { .. }
            | ClientError::Digest { .. } => false,
        }
    }

    /// Sorts an error of the transport.
    pub(super) fn from_transport(transport: &dyn Transport, source: TransportError) -> Self {
        let url = transport.peer().to_owned();
        match source {
            TransportError::Connect { .. } | TransportError::Certificate { .. } => {
                ClientError::Unreachable { url, source }
            }
            TransportError::Unencrypted { .. } => ClientError::Unencrypted { url },
            TransportError::Lost { .. } => ClientError::Lost { url, source },
            TransportError::Invalid { .. } => ClientError::Invalid { url, source },
        }
    }
}
