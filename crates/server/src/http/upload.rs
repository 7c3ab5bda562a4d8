//! Receives a build submission: a multipart form, streamed.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{
        FromRequest, Request,
        multipart::{Field, Multipart, MultipartError},
    },
    http::StatusCode,
};
use elivepatch_api::{BuildSubmission, RunSubmission};
use futures::StreamExt;

use super::{
    form_body::{FormBody, Held, PART_HEADER_BYTES},
    router::SUBMISSION_BYTES,
};
use crate::{
    App, AppError,
    app::{Caller, TakesParts},
    connections::TooSlow,
};

/// How long a submission may take to come in: 110 MB at 3 Mbit/s, as the client allows for. Few come
/// in at the same time, and one that does not end must not keep the others out.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(300);

/// Reads the form part by part into the app, and submits.
pub(crate) async fn receive_submission(
    app: &App,
    caller: &Caller,
    request: Request,
) -> Result<BuildSubmission, AppError> {
    receive(app.begin_submission().await, request).await?.finish(caller).await
}

/// The same for a rebuild.
pub(crate) async fn receive_rebuild(
    app: &App,
    caller: &Caller,
    request: Request,
) -> Result<BuildSubmission, AppError> {
    receive(app.begin_rebuild().await, request).await?.finish(caller).await
}

/// The same for a CVE run.
pub(crate) async fn receive_run(
    app: &App,
    caller: &Caller,
    request: Request,
) -> Result<RunSubmission, AppError> {
    receive(app.begin_run().await, request).await?.finish_run(caller).await
}

/// Reads the form part by part into what takes it.
pub(super) async fn receive<I: TakesParts>(mut intake: I, request: Request) -> Result<I, AppError> {
    let held = Held::default();
    let request = request.map(|body| FormBody::bound(body, held.clone()));
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| AppError::bad_request(rejection.body_text(), I::FORM_HINT))?;
    let receive = async {
        match receive_parts(&mut intake, &mut form, &held).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // A client that still sends when the connection closes may never see the answer.
                discard(&mut form, &held).await;
                Err(error)
            }
        }
    };
    let received = tokio::time::timeout(RECEIVE_TIMEOUT, receive).await.unwrap_or_else(|_| {
        let seconds = RECEIVE_TIMEOUT.as_secs();
        let message = format!("the request did not come in within {seconds} seconds");
        Err(AppError::bad_request(message, "send it again over a faster connection"))
    });
    received?;
    Ok(intake)
}

async fn receive_parts<I: TakesParts>(
    intake: &mut I,
    form: &mut Multipart,
    held: &Held,
) -> Result<(), AppError> {
    while let Some(mut field) =
        form.next_field().await.map_err(|error| malformed::<I>(&error, held))?
    {
        held.given_out();
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let mut part = intake.begin_part(&name, file_name.as_deref())?;
        while let Some(chunk) = next_chunk::<I>(&mut field, held).await? {
            part.write(&chunk).await?;
        }
        intake.end_part(part).await?;
    }
    Ok(())
}

async fn next_chunk<I: TakesParts>(
    field: &mut Field<'_>,
    held: &Held,
) -> Result<Option<bytes::Bytes>, AppError> {
    let chunk = field.chunk().await.map_err(|error| malformed::<I>(&error, held))?;
    held.given_out();
    Ok(chunk)
}

/// Reads what is left, up to the limit of the whole form.
async fn discard(form: &mut Multipart, held: &Held) {
    while let Ok(Some(mut field)) = form.next_field().await {
        held.given_out();
        while let Ok(Some(_)) = field.chunk().await {
            held.given_out();
        }
    }
}

/// Reads what is left of a body that nobody wants, up to the limit of a form, for the same reason.
pub(super) async fn discard_body(body: Body) {
    let mut stream = body.into_data_stream();
    let read = async {
        let mut left = SUBMISSION_BYTES;
        while let Some(Ok(chunk)) = stream.next().await {
            let Some(rest) = left.checked_sub(chunk.len()) else { return };
            left = rest;
        }
    };
    // Whoever has not sent it by then sees the connection close.
    let _ = tokio::time::timeout(RECEIVE_TIMEOUT, read).await;
}

fn malformed<I: TakesParts>(error: &MultipartError, held: &Held) -> AppError {
    if held.is_exceeded() {
        let what = "the header of a part".to_owned();
        return AppError::TooLarge { what, limit_bytes: PART_HEADER_BYTES as u64 };
    }
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let what = "the request".to_owned();
        return AppError::TooLarge { what, limit_bytes: SUBMISSION_BYTES as u64 };
    }
    if TooSlow::is_cause_of(error) {
        let message = "the request did not come in: nothing of it came for a minute".to_owned();
        return AppError::bad_request(message, "send it again over a faster connection");
    }
    let message = format!("the multipart form cannot be read: {}", error.body_text());
    AppError::bad_request(message, I::FORM_HINT)
}
