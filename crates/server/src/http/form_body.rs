//! Bounds what a multipart parser holds: it collects the headers of a part, and whatever else is
//! there to read, without a limit of its own.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, BodyDataStream},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream::Fuse};

/// The longest headers of a part, in bytes. Ours have 200.
pub(super) const PART_HEADER_BYTES: usize = 64 * 1024;

/// The most that the parser gets at once, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// Counts what the parser took and did not give out yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    bytes: Arc<AtomicUsize>,
    exceeded: Arc<AtomicBool>,
}

impl Held {
    /// The parser has given out a part or a piece of one.
    pub(super) fn given_out(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Whether the parser was stopped since it held too much.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }
}

/// The body of a request, which a parser reads, and who wants to have it read without one. It may be asked again when it
/// has ended.
#[derive(Clone)]
pub(super) struct SharedBody(Arc<Mutex<Fuse<BodyDataStream>>>);

impl SharedBody {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(body.into_data_stream().fuse())))
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }
}

/// A body that feeds a multipart parser in small pieces, and fails when it swallows too many.
pub(super) struct FormBody {
    body: SharedBody,
    rest: Bytes,
    /// Whether the parser has just got a piece, and should look at it before it asks for more: it
    /// reads for as long as something is there.
    pause: bool,
    held: Held,
}

impl FormBody {
    /// The body with its bounds.
    pub(super) fn bound(body: SharedBody, held: Held) -> Body {
        Body::from_stream(Self { body, rest: Bytes::new(), pause: false, held })
    }
}

impl Stream for FormBody {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.pause) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            match self.body.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(chunk))) => self.rest = chunk,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let size = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(size);
        let before = self.held.bytes.fetch_add(size, Ordering::Relaxed);
        if before > PART_HEADER_BYTES {
            self.held.exceeded.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err("the headers of a part are too long".into())));
        }
        self.pause = true;
        Poll::Ready(Some(Ok(piece)))
    }
}
