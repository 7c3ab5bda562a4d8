//! The lease protocol: what workers ask and send.

use axum::{
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use elivepatch_api::{
    ClaimRequest, CompleteProbeRequest, CompleteRequest, EventsRequest, FailRequest, Heartbeat,
};
use elivepatch_model::{BuildNumber, Sha256Digest};
use futures::StreamExt;
use tokio_util::io::ReaderStream;

use crate::{
    App, AppError,
    http::{ApiJson, ApiPath, CalledBy, HttpError, LeaseHeader},
};

pub(crate) async fn claim(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiJson(request): ApiJson<ClaimRequest>,
) -> Result<Response, HttpError> {
    Ok(match app.claim(&caller, &request).await? {
        Some(lease) => axum::Json(lease).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

pub(crate) async fn heartbeat(
    State(app): State<App>,
    LeaseHeader(proof): LeaseHeader,
) -> Result<axum::Json<Heartbeat>, HttpError> {
    Ok(axum::Json(app.heartbeat(&proof).await?))
}

pub(crate) async fn events(
    State(app): State<App>,
    LeaseHeader(proof): LeaseHeader,
    ApiJson(request): ApiJson<EventsRequest>,
) -> Result<StatusCode, HttpError> {
    app.add_events(&proof, &request.events).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn module(
    State(app): State<App>,
    LeaseHeader(proof): LeaseHeader,
    body: Body,
) -> Result<StatusCode, HttpError> {
    let mut writer = app.begin_module(&proof).await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            AppError::bad_request(format!("the upload broke off: {error}"), "send it again")
        })?;
        writer.write(&chunk).await.map_err(AppError::from)?;
    }
    app.end_module(&proof, writer).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn complete(
    State(app): State<App>,
    LeaseHeader(proof): LeaseHeader,
    ApiJson(request): ApiJson<CompleteRequest>,
) -> Result<StatusCode, HttpError> {
    app.complete(&proof, &request.manifest).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn complete_probe(
    State(app): State<App>,
    LeaseHeader(proof): LeaseHeader,
    ApiJson(request): ApiJson<CompleteProbeRequest>,
) -> Result<StatusCode, HttpError> {
    app.complete_probe(&proof, &request.probe).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn fail(
    State(app): State<App>,
    LeaseHeader(proof): LeaseHeader,
    ApiJson(request): ApiJson<FailRequest>,
) -> Result<StatusCode, HttpError> {
    app.fail(&proof, &request.failure).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn release(
    State(app): State<App>,
    LeaseHeader(proof): LeaseHeader,
) -> Result<StatusCode, HttpError> {
    app.release(&proof).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn blob(
    State(app): State<App>,
    LeaseHeader(proof): LeaseHeader,
    ApiPath((_, digest)): ApiPath<(BuildNumber, Sha256Digest)>,
) -> Result<Response, HttpError> {
    let reader = app.leased_blob(&proof, digest).await?;
    let length = [(header::CONTENT_LENGTH, reader.size_bytes.to_string())];
    Ok((length, Body::from_stream(ReaderStream::new(reader.file))).into_response())
}
