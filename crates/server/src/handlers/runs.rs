use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use elivepatch_api::{ErrorBody, RunParts, RunQuery, RunResource, RunSubmission, RunSummary};
use elivepatch_model::RunNumber;

use crate::{
    App,
    http::{ApiPath, ApiQuery, CalledBy, HttpError, receive_run},
};

/// Asks for the fixes of the CVEs that matter on a kernel as one livepatch.
///
/// An equal run that is under way or finished is joined: when nothing is new, nothing is done.
#[utoipa::path(
    post,
    path = "/api/v2/cve-runs",
    tag = "cve",
    request_body(content = RunParts, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "A new run has begun", body = RunSubmission),
        (status = 200, description = "An equal run was joined", body = RunSubmission),
        (status = 400, description = "The form is malformed, the kernel's version cannot be told, or no feed was read", body = ErrorBody),
        (status = 403, description = "The request comes from another site", body = ErrorBody),
        (status = 413, description = "A part is too large", body = ErrorBody),
        (status = 422, description = "The request was refused; see error.failure", body = ErrorBody),
        (status = 507, description = "The server's disk is full", body = ErrorBody),
    ),
)]
pub(crate) async fn start(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    request: Request,
) -> Result<(StatusCode, Json<RunSubmission>), HttpError> {
    let submission = receive_run(&app, &caller, request).await?;
    let status = if submission.joined { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(submission)))
}

/// Lists the newest CVE runs, newest first.
#[utoipa::path(
    get,
    path = "/api/v2/cve-runs",
    tag = "cve",
    responses((status = 200, description = "The runs", body = Vec<RunSummary>)),
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<RunSummary>>, HttpError> {
    Ok(Json(app.runs().await?))
}

/// Shows a CVE run.
#[utoipa::path(
    get,
    path = "/api/v2/cve-runs/{number}",
    tag = "cve",
    params(("number" = i64, Path, description = "The run's number"), RunQuery),
    responses(
        (status = 200, description = "The run", body = RunResource),
        (status = 404, description = "There is no such run", body = ErrorBody),
    ),
)]
pub(crate) async fn show(
    State(app): State<App>,
    ApiPath(number): ApiPath<RunNumber>,
    ApiQuery(query): ApiQuery<RunQuery>,
) -> Result<Json<RunResource>, HttpError> {
    Ok(Json(match query.cves.unwrap_or(true) {
        true => app.run(number).await?,
        false => app.run_in_short(number).await?,
    }))
}

/// Cancels a CVE run that is not finished.
#[utoipa::path(
    post,
    path = "/api/v2/cve-runs/{number}/cancel",
    tag = "cve",
    params(("number" = i64, Path, description = "The run's number")),
    responses(
        (status = 200, description = "The run, cancelled", body = RunResource),
        (status = 404, description = "There is no such run", body = ErrorBody),
        (status = 409, description = "The run is finished", body = ErrorBody),
    ),
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(number): ApiPath<RunNumber>,
) -> Result<Json<RunResource>, HttpError> {
    Ok(Json(app.cancel_run(&caller, number).await?))
}
