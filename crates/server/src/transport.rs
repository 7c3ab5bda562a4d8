use async_trait::async_trait;
use axum::{Router, body::Body};
use bytes::Bytes;
use elivepatch_api::client::{BodyStream, Transport, TransportError};
use futures::StreamExt;
use tower::ServiceExt;

/// Carries requests to a router in the same process: the worker inside the server speaks the same
/// protocol as one on another machine, without a socket.
#[derive(Debug, Clone)]
pub struct RouterTransport {
    router: Router,
}

/// What errors call the other side.
const PEER: &str = "the server in this process";

impl RouterTransport {
    /// A transport to this router.
    pub fn new(router: Router) -> Self {
        Self { router }
    }
}

#[async_trait]
impl Transport for RouterTransport {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<BodyStream>, TransportError> {
        let answer = self.router.clone().oneshot(request.map(Body::from)).await;
        let answer = answer.unwrap_or_else(|never| match never {});
        Ok(answer.map(|body| {
            let lost =
                |source| TransportError::Lost { peer: PEER.to_owned(), source: Box::new(source) };
            body.into_data_stream().map(move |chunk| chunk.map_err(lost)).boxed()
        }))
    }

    fn peer(&self) -> &str {
        PEER
    }
}
