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
use bytes::Bytes;
use elivepatch_api::{BuildSubmission, RunSubmission};
use futures::{Stream, StreamExt};

use super::{
    form_body::{FormBody, Held, PART_HEADER_BYTES, SharedBody},
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

/// How much of a refused request of the REST API v1.0 is read, in bytes: the config and the patches that such clients
/// send have less. The answer to a longer one may be lost.
const REST_BYTES: usize = 4 * 1024 * 1024;

/// How long that may take.
const REST_TIMEOUT: Duration = Duration::from_secs(10);

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

/// A form as it is read.
struct Form {
    parts: Multipart,
    held: Held,
    body: SharedBody,
}

/// Reads the form part by part into what takes it. One that is refused is read to its end, in the time that it has: a
/// client that still sends when the connection closes may never see the answer.
async fn receive<I: TakesParts>(mut intake: I, request: Request) -> Result<I, AppError> {
    let mut form = Form::of::<I>(request).await?;
    in_time(async {
        let received = form.receive(&mut intake).await;
        // Nobody's client sends such headers.
        if received.is_err() && !form.held.is_exceeded() {
            discard(form.body, SUBMISSION_BYTES).await;
        }
        received
    })
    .await?;
    Ok(intake)
}

/// The same for clients that nobody knows: one that is refused is answered at once, and its turn goes to the next.
pub(super) async fn receive_v1_form<I: TakesParts>(
    mut intake: I,
    request: Request,
) -> Result<I, AppError> {
    let mut form = Form::of::<I>(request).await?;
    match in_time(form.receive(&mut intake)).await {
        Ok(()) => Ok(intake),
        Err(error) => {
            beside_the_answer(discard(form.body, REST_BYTES));
            Err(error)
        }
    }
}

async fn in_time(receive: impl Future<Output = Result<(), AppError>>) -> Result<(), AppError> {
    tokio::time::timeout(RECEIVE_TIMEOUT, receive).await.unwrap_or_else(|_| {
        let seconds = RECEIVE_TIMEOUT.as_secs();
        let message = format!("the request did not come in within {seconds} seconds");
        Err(AppError::bad_request(message, "send it again over a faster connection"))
    })
}

impl Form {
    async fn of<I: TakesParts>(request: Request) -> Result<Self, AppError> {
        let held = Held::default();
        let (head, body) = request.into_parts();
        let body = SharedBody::new(body);
        let request = Request::from_parts(head, FormBody::bound(body.clone(), held.clone()));
        let parts = Multipart::from_request(request, &())
            .await
            .map_err(|rejection| AppError::bad_request(rejection.body_text(), I::FORM_HINT))?;
        Ok(Self { parts, held, body })
    }

    async fn receive<I: TakesParts>(&mut self, intake: &mut I) -> Result<(), AppError> {
        let Self { parts, held, .. } = self;
        while let Some(mut field) =
            parts.next_field().await.map_err(|error| malformed::<I>(&error, held))?
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
}

async fn next_chunk<I: TakesParts>(
    field: &mut Field<'_>,
    held: &Held,
) -> Result<Option<Bytes>, AppError> {
    let chunk = field.chunk().await.map_err(|error| malformed::<I>(&error, held))?;
    held.given_out();
    Ok(chunk)
}

/// Has the rest of a body read that nobody wants, as far as that is worth it. Does not wait for that.
pub(super) fn discard_rest(body: Body) {
    beside_the_answer(discard(body.into_data_stream(), REST_BYTES));
}

/// Reads what is left of a body, but not more than so many bytes, and looks at none of it.
async fn discard(mut body: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin, limit: usize) {
    let mut left = limit;
    while let Some(Ok(chunk)) = body.next().await {
        let Some(rest) = left.checked_sub(chunk.len()) else { return };
        left = rest;
    }
}

/// Reads while the answer is sent and after it. When that ends the connection closes, whatever is still to come.
fn beside_the_answer(read: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(tokio::time::timeout(REST_TIMEOUT, read));
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
