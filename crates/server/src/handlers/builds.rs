use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use elivepatch_api::{
    BuildList, BuildResource, BuildSubmission, ErrorBody, ListBuildsQuery, SubmitParts,
};
use elivepatch_model::BuildNumber;

use crate::{
    App,
    http::{ApiPath, ApiQuery, CalledBy, HttpError, receive_submission},
};

/// Submits a build.
///
/// The request is checked while it comes in; one that can never give a livepatch is refused with
/// the class of its failure. An equal build that waits, runs or is finished is joined.
#[utoipa::path(
    post,
    path = "/api/v2/builds",
    tag = "builds",
    request_body(content = SubmitParts, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "A new build waits in the queue", body = BuildSubmission),
        (status = 200, description = "An equal build was joined", body = BuildSubmission),
        (status = 400, description = "The form is malformed", body = ErrorBody),
        (status = 403, description = "The request comes from another site", body = ErrorBody),
        (status = 413, description = "A part is too large", body = ErrorBody),
        (status = 422, description = "The request was refused; see error.failure", body = ErrorBody),
        (status = 429, description = "Too many builds wait", body = ErrorBody),
        (status = 507, description = "The server's disk is full", body = ErrorBody),
    ),
)]
pub(crate) async fn submit(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    request: Request,
) -> Result<(StatusCode, Json<BuildSubmission>), HttpError> {
    let submission = receive_submission(&app, &caller, request).await?;
    let status = if submission.joined { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(submission)))
}

/// Lists builds, newest first, in short.
#[utoipa::path(
    get,
    path = "/api/v2/builds",
    tag = "builds",
    params(ListBuildsQuery),
    responses(
        (status = 200, description = "A page of builds", body = BuildList),
        (status = 400, description = "The query is malformed", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<ListBuildsQuery>,
) -> Result<Json<BuildList>, HttpError> {
    Ok(Json(app.builds(&query).await?))
}

/// Shows a build.
#[utoipa::path(
    get,
    path = "/api/v2/builds/{number}",
    tag = "builds",
    params(("number" = i64, Path, description = "The build's number")),
    responses(
        (status = 200, description = "The build", body = BuildResource),
        (status = 404, description = "There is no such build", body = ErrorBody),
    ),
)]
pub(crate) async fn show(
    State(app): State<App>,
    ApiPath(number): ApiPath<BuildNumber>,
) -> Result<Json<BuildResource>, HttpError> {
    Ok(Json(app.build(number).await?))
}

/// Cancels a build that waits or runs.
#[utoipa::path(
    post,
    path = "/api/v2/builds/{number}/cancel",
    tag = "builds",
    params(("number" = i64, Path, description = "The build's number")),
    responses(
        (status = 200, description = "The build, cancelled", body = BuildResource),
        (status = 404, description = "There is no such build", body = ErrorBody),
        (status = 409, description = "The build is finished", body = ErrorBody),
    ),
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(number): ApiPath<BuildNumber>,
) -> Result<Json<BuildResource>, HttpError> {
    Ok(Json(app.cancel(&caller, number).await?))
}
