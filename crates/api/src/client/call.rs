//! What all calls have in common: sending, time limits, size limits, reading answers.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};

use super::{BodyStream, Client, ClientError, TransportError};
use crate::ErrorBody;

/// How long a server may take to begin its answer. A refusal takes under a second; the rest is for
/// a machine that is busy compiling.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The same for a submission or an upload, which has to cross the network first: 110 MB at 3 Mbit/s.
pub(super) const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// How long the server may be silent in the middle of an answer. Event streams carry a sign of
/// life every 10 seconds: three of them are missing then.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(35);

/// The largest JSON answer that is read, in bytes: a page of 200 builds with 64 fixes each stays
/// far below.
const JSON_BYTES: u64 = 32 * 1024 * 1024;

/// How much of an unexpected answer is shown, in characters.
const EXCERPT_CHARACTERS: usize = 120;

/// One call, before it is sent.
pub(super) struct Call {
    method: Method,
    path: String,
    headers: Vec<(header::HeaderName, String)>,
    body: Bytes,
    timeout: Duration,
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: ANSWER_TIMEOUT,
        }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, content_type: &str, body: Bytes) -> Self {
        self.body = body;
        self.header(header::CONTENT_TYPE, content_type)
    }

    pub(super) fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("the API's types have a JSON form");
        self.body("application/json", body.into())
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Client {
    /// Sends a call and returns the answer if its status is a success.
    pub(super) async fn send(&self, call: Call) -> Result<Response<BodyStream>, ClientError> {
        let transport = self.transport.as_ref();
        let mut request = Request::builder().method(call.method).uri(call.path);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request.body(call.body).map_err(|error| ClientError::Invalid {
            url: self.peer().to_owned(),
            source: TransportError::Invalid { peer: self.peer().to_owned(), source: error.into() },
        })?;
        let answer = match tokio::time::timeout(call.timeout, transport.send(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(silent(self.peer(), call.timeout)),
        };
        let answer = answer.map_err(|error| ClientError::from_transport(transport, error))?;
        if answer.status().is_success() {
            return Ok(answer.map(|body| with_silence_limit(self.peer(), body)));
        }
        Err(self.read_error(answer).await)
    }

    /// Sends a call whose answer is JSON.
    pub(super) async fn send_for_json<T: DeserializeOwned>(
        &self,
        call: Call,
    ) -> Result<T, ClientError> {
        let answer = self.send(call).await?;
        self.read_json(answer).await
    }

    /// Sends a call whose answer says nothing beyond its success.
    pub(super) async fn send_for_nothing(&self, call: Call) -> Result<(), ClientError> {
        let answer = self.send(call).await?;
        self.collect(answer.into_body(), "an answer", JSON_BYTES).await.map(drop)
    }

    pub(super) async fn read_json<T: DeserializeOwned>(
        &self,
        answer: Response<BodyStream>,
    ) -> Result<T, ClientError> {
        let (parts, body) = answer.into_parts();
        let bytes = self.collect(body, "an answer", JSON_BYTES).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let detail = format!("{error}; it begins with {}", excerpt(&bytes));
            self.protocol(parts.status, detail)
        })
    }

    /// Reads a whole body of at most `limit_bytes`.
    pub(super) async fn collect(
        &self,
        mut body: BodyStream,
        what: &'static str,
        limit_bytes: u64,
    ) -> Result<Bytes, ClientError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk
                .map_err(|error| ClientError::from_transport(self.transport.as_ref(), error))?;
            if (bytes.len() + chunk.len()) as u64 > limit_bytes {
                return Err(ClientError::TooLarge {
                    url: self.peer().to_owned(),
                    what,
                    limit_bytes,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    pub(super) fn protocol(&self, status: StatusCode, detail: String) -> ClientError {
        ClientError::Protocol { url: self.peer().to_owned(), status: status.as_u16(), detail }
    }

    async fn read_error(&self, answer: Response<BodyStream>) -> ClientError {
        let (parts, body) = answer.into_parts();
        let body = with_silence_limit(self.peer(), body);
        let bytes = match self.collect(body, "an error", JSON_BYTES).await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        if let Ok(ErrorBody { error }) = serde_json::from_slice(&bytes) {
            return ClientError::Api {
                url: self.peer().to_owned(),
                status: parts.status.as_u16(),
                error: Box::new(error),
            };
        }
        let detail = match header_text(&parts.headers, header::LOCATION) {
            Some(location) if parts.status.is_redirection() => {
                format!("it points to {}", location.escape_debug())
            }
            _ => format!("it begins with {}", excerpt(&bytes)),
        };
        self.protocol(parts.status, detail)
    }
}

/// The value of a header, when it is there and text.
pub(super) fn header_text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn excerpt(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().take(EXCERPT_CHARACTERS).collect();
    format!("\"{}\"", text.escape_debug())
}

fn silent(peer: &str, limit: Duration) -> TransportError {
    TransportError::Lost {
        peer: peer.to_owned(),
        source: format!("no sign of life for {} s", limit.as_secs()).into(),
    }
}

/// Ends a body with an error when nothing arrives for [`SILENCE_TIMEOUT`]: a connection whose
/// other side has lost power never ends by itself.
fn with_silence_limit(peer: &str, body: BodyStream) -> BodyStream {
    let peer = peer.to_owned();
    futures::stream::unfold(Some(body), move |body| {
        let peer = peer.clone();
        async move {
            let mut body = body?;
            match tokio::time::timeout(SILENCE_TIMEOUT, body.next()).await {
                Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some(body))),
                Ok(Some(Err(error))) => Some((Err(error), None)),
                Ok(None) => None,
                Err(_) => Some((Err(silent(&peer, SILENCE_TIMEOUT)), None)),
            }
        }
    })
    .boxed()
}
