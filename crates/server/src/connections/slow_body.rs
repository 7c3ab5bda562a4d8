use std::{error::Error, fmt, time::Duration};

use axum::body::{Body, BodyDataStream, Bytes};
use futures::{StreamExt as _, stream};
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

/// A body did not come in time: the network or the client is at fault, not what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the request's body did not come in time")
    }
}

impl Error for TooSlow {}

impl TooSlow {
    /// Whether an error comes of this.
    pub(crate) fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

/// The body, which fails when nothing of it comes for `pause` while somebody waits for it, or when it is not whole
/// `limit` after somebody first did. Before that the server does not read it, and it cannot come: an order of the REST
/// API v1.0 waits for its turn. What has come already is never too late: that the server did not look for it is not the
/// client's doing.
pub(super) fn watched(body: Incoming, pause: Duration, limit: Duration) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    let mut end = None;
    let pieces = Body::new(body).into_data_stream();
    let next = move |pieces: Option<BodyDataStream>| {
        // This runs when a piece is first asked for, and then for each.
        let end = *end.get_or_insert_with(|| Instant::now() + limit);
        async move {
            let mut pieces = pieces?;
            // It looks for the piece first, and at the clock when there is none.
            match timeout_at(end.min(Instant::now() + pause), pieces.next()).await {
                Ok(Some(Ok(piece))) => Some((Ok::<Bytes, axum::Error>(piece), Some(pieces))),
                Ok(Some(Err(error))) => Some((Err(error), None)),
                Ok(None) => None,
                Err(_) => Some((Err(axum::Error::new(TooSlow)), None)),
            }
        }
    };
    Body::from_stream(stream::unfold(Some(pieces), next))
}
