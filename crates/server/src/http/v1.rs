//! What requests of the REST API v1.0 are read from: headers, an old form, and a body on a GET.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, header},
};
use elivepatch_api::v1::{self, LivepatchQuery};
use elivepatch_model::{KernelRelease, SessionId};
use futures::StreamExt;

use super::upload::{discard_rest, receive_v1_form};
use crate::{
    App, AppError,
    app::{Caller, TakesParts, V1Intake, V1Outcome, V1Place, V1Session},
};

/// The largest body of a GET, in bytes. The client sends some 100.
const QUERY_BYTES: usize = 4096;

/// What old clients send as the session.
const UUID_HINT: &str =
    "send a random UUID (version 4) such as Python's uuid.uuid4() makes, one for each livepatch";

/// Reads the form into the app, orders, and waits for the end of the build. Gives the session, too.
///
/// Whatever is refused is answered at once. The client reads no answer before it has sent all, so what an order
/// usually has left is read all the same.
pub(crate) async fn receive_v1(
    app: &App,
    caller: &Caller,
    request: Request,
) -> Result<(SessionId, V1Outcome), AppError> {
    let (parts, body) = request.into_parts();
    let (session, _place) = match accept(app, &parts.headers).await {
        Ok(Accepted::New(session, place)) => (session, place),
        Ok(Accepted::Seen(id)) => {
            discard_rest(body);
            return Ok((id, V1Outcome::Seen));
        }
        Err(error) => {
            discard_rest(body);
            return Err(error);
        }
    };
    let id = session.id.clone();
    let intake = app.begin_v1_order(session).await;
    let received = receive_v1_form(intake, Request::from_parts(parts, body)).await?;
    Ok((id, received.finish(caller).await?))
}

enum Accepted {
    New(V1Session, V1Place),
    Seen(SessionId),
}

/// Looks at the head of an order.
async fn accept(app: &App, headers: &HeaderMap) -> Result<Accepted, AppError> {
    let session = session(headers)?;
    if app.knows_session(&session.id).await? {
        return Ok(Accepted::Seen(session.id));
    }
    let content_type = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let content_type = content_type.trim_start().to_ascii_lowercase();
    if content_type.starts_with("multipart/form-data") && content_type.contains("boundary=") {
        return Ok(Accepted::New(session, app.v1_place().await?));
    }
    Err(AppError::bad_request("the request is no multipart form", V1Intake::FORM_HINT))
}

/// What the client says of itself in the headers.
fn session(headers: &HeaderMap) -> Result<V1Session, AppError> {
    let version_hint = "send the version of the kernel, such as 5.1.6 or 6.1.176-gentoo-r1, in it";
    let version = match text(headers, v1::KERNEL_VERSION).map(str::trim) {
        None | Some("") => {
            Err(AppError::bad_request("the header KernelVersion is missing", version_hint))
        }
        Some(version) => version.parse::<KernelRelease>().map_err(|error| {
            AppError::bad_request(format!("the header KernelVersion: {error}"), version_hint)
        }),
    }?;
    let id = text(headers, v1::UUID)
        .ok_or_else(|| AppError::bad_request("the header UUID is missing", UUID_HINT))?
        .parse()
        .map_err(|error| AppError::bad_request(format!("the header UUID: {error}"), UUID_HINT))?;
    Ok(V1Session { id, version })
}

/// A header; one that is no text counts as an empty one.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// The session in the JSON body of a GET, whatever its content type.
pub(crate) async fn session_in_body(body: Body) -> Result<SessionId, AppError> {
    let hint = r#"send {"KernelVersion": VERSION, "UUID": UUID} as the body"#;
    let text = small_body(body).await?;
    if text.is_empty() {
        return Err(AppError::bad_request("the request has no JSON body", hint));
    }
    let query: LivepatchQuery = serde_json::from_slice(&text).map_err(|error| {
        AppError::bad_request(
            format!("the body of the request is not the JSON of v1.0: {error}"),
            hint,
        )
    })?;
    let id = query.uuid.ok_or_else(|| AppError::bad_request("the body has no UUID", hint))?;
    id.parse().map_err(|error| AppError::bad_request(format!("the UUID: {error}"), UUID_HINT))
}

async fn small_body(body: Body) -> Result<Vec<u8>, AppError> {
    let mut stream = body.into_data_stream();
    let mut text = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            let message = format!("the body of the request did not come in: {error}");
            AppError::bad_request(message, "send it again")
        })?;
        if text.len() + chunk.len() > QUERY_BYTES {
            discard_rest(Body::from_stream(stream));
            let what = "the body of the request".to_owned();
            return Err(AppError::TooLarge { what, limit_bytes: QUERY_BYTES as u64 });
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}
