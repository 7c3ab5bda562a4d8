use std::sync::Arc;

use bytes::Bytes;
use elivepatch_model::BuildNumber;
use eventsource_stream::{EventStreamError, Eventsource};
use futures::{Stream, StreamExt, stream::BoxStream};
use http::{HeaderName, StatusCode, header};

use super::{
    Client, ClientError, Transport,
    builds::build_path,
    call::{Call, header_text},
};
use crate::EventRecord;

/// The largest event that is read, in bytes; a log line is cut at far less, and a failure holds
/// some compiler errors.
const EVENT_BYTES: usize = 4 * 1024 * 1024;

/// The events of a build as they come. It ends when the server closes it: after the last event of
/// a finished build, or earlier when the server stops.
pub type EventStream = BoxStream<'static, Result<EventRecord, ClientError>>;

impl Client {
    /// Reads the events of a build that have a higher number than `after` (0: from the first).
    ///
    /// [`Client::follow`] goes on by itself when the connection ends early.
    ///
    /// # Errors
    /// As for any call. The stream itself gives an error at most once, as its last item.
    pub async fn events(
        &self,
        number: BuildNumber,
        after: i64,
    ) -> Result<EventStream, ClientError> {
        let mut call = Call::get(build_path(number, "/events"))
            .header(header::ACCEPT, "text/event-stream")
            .header(header::CACHE_CONTROL, "no-cache");
        if after > 0 {
            call = call.header(HeaderName::from_static("last-event-id"), after.to_string());
        }
        let answer = self.send(call).await?;
        let content_type = header_text(answer.headers(), header::CONTENT_TYPE).unwrap_or("nothing");
        if !content_type.starts_with("text/event-stream") {
            let detail = format!("it is {}, not an event stream", content_type.escape_debug());
            return Err(self.protocol(answer.status(), detail));
        }
        let transport = Arc::clone(&self.transport);
        let limited = Arc::clone(&self.transport);
        let body = answer.into_body().map(move |chunk| {
            chunk.map_err(|error| ClientError::from_transport(limited.as_ref(), error))
        });
        let events =
            limit_event_size(body, self.peer().to_owned()).eventsource().map(move |event| {
                match event {
                    Ok(event) => serde_json::from_str(&event.data)
                        .map_err(|error| unreadable(transport.as_ref(), &error.to_string())),
                    Err(EventStreamError::Transport(error)) => Err(error),
                    Err(error) => Err(unreadable(transport.as_ref(), &error.to_string())),
                }
            });
        Ok(until_first_error(events).boxed())
    }
}

fn unreadable(transport: &dyn Transport, detail: &str) -> ClientError {
    ClientError::Protocol {
        url: transport.peer().to_owned(),
        status: StatusCode::OK.as_u16(),
        detail: format!("an event cannot be read: {detail}"),
    }
}

fn until_first_error<T>(
    stream: impl Stream<Item = Result<T, ClientError>>,
) -> impl Stream<Item = Result<T, ClientError>> {
    stream.scan(false, |failed, item| {
        let item = (!*failed).then_some(item);
        *failed |= matches!(item, Some(Err(_)));
        futures::future::ready(item)
    })
}

/// Fails when an event does not end: the parser behind it would collect without a bound.
fn limit_event_size(
    body: impl Stream<Item = Result<Bytes, ClientError>>,
    url: String,
) -> impl Stream<Item = Result<Bytes, ClientError>> {
    let mut size = 0;
    let mut line_is_empty = true;
    body.map(move |chunk| {
        let chunk = chunk?;
        for byte in &chunk {
            size += 1;
            match byte {
                b'\n' if line_is_empty => size = 0,
                b'\n' => line_is_empty = true,
                b'\r' => {}
                _ => line_is_empty = false,
            }
        }
        if size > EVENT_BYTES {
            return Err(ClientError::TooLarge {
                url: url.clone(),
                what: "an event",
                limit_bytes: EVENT_BYTES as u64,
            });
        }
        Ok(chunk)
    })
}
