use std::time::Duration;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use elivepatch_api::{ErrorBody, EventRecord};
use elivepatch_model::{BuildEvent, BuildNumber};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    App, AppError,
    http::{ApiPath, ApiQuery, HttpError},
};

/// How often a silent stream shows that it lives. Proxies close a connection after 30 to 60 silent
/// seconds; the client takes three missing signs for a dead server.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Where to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowQuery {
    /// Only events with a higher number; the header `Last-Event-ID` wins over it.
    #[serde(default)]
    after: Option<i64>,
}

/// Follows the events of a build as server-sent events.
///
/// Each has its number as `id`, its type as `event` and an EventRecord as `data`. The stream ends
/// after the last event of a finished build.
#[utoipa::path(
    get,
    path = "/api/v2/builds/{number}/events",
    tag = "builds",
    params(
        ("number" = i64, Path, description = "The build's number"),
        ("Last-Event-ID" = Option<i64>, Header, description = "Only events with a higher number"),
        FollowQuery,
    ),
    responses(
        (status = 200, description = "The events", body = EventRecord, content_type = "text/event-stream"),
        (status = 400, description = "The number to go on from is malformed", body = ErrorBody),
        (status = 404, description = "There is no such build", body = ErrorBody),
    ),
)]
pub(crate) async fn follow(
    State(app): State<App>,
    ApiPath(number): ApiPath<BuildNumber>,
    ApiQuery(query): ApiQuery<FollowQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, AppError>>>, HttpError> {
    let after = match headers.get("last-event-id") {
        Some(value) => {
            Some(value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
                AppError::bad_request("Last-Event-ID is not a number", "send the last id you saw")
            })?)
        }
        None => query.after,
    };
    let events = app.follow(number, after.unwrap_or(0)).await?;
    let events = events.map(|event| {
        if let Err(error) = &event {
            // The answer has begun: the client sees the stream end early, and comes again.
            tracing::error!(error = error as &dyn std::error::Error, "event stream failed");
        }
        event.map(|record| sse_event(&record))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn sse_event(record: &EventRecord) -> Event {
    let kind = match &record.event {
        BuildEvent::State { .. } => "state",
        BuildEvent::Step { .. } => "step",
        BuildEvent::Progress { .. } => "progress",
        BuildEvent::Log { .. } => "log",
    };
    let data = serde_json::to_string(record).expect("plain data has a JSON form");
    // JSON escapes line ends, so the data is one line.
    Event::default().id(record.sequence.to_string()).event(kind).data(data)
}
