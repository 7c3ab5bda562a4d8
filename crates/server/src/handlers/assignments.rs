use axum::{Json, extract::State, http::StatusCode};
use elivepatch_api::{
    AssignmentAnswer, AssignmentList, AssignmentRequest, ErrorBody, NewestFirstQuery,
};

use crate::{
    App,
    http::{ApiJson, ApiPath, ApiQuery, CalledBy, HttpError},
};

/// Lists what is assigned to hosts, newest first.
#[utoipa::path(
    get,
    path = "/api/v2/assignments",
    tag = "hosts",
    params(NewestFirstQuery),
    responses(
        (status = 200, description = "A page of assignments", body = AssignmentList),
        (status = 400, description = "The query is malformed", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<NewestFirstQuery>,
) -> Result<Json<AssignmentList>, HttpError> {
    Ok(Json(app.fleet().assignments(query).await?))
}

/// Assigns the livepatch of a build: hosts that it is for, and whose kernel it is for, are told to load it.
///
/// To a host goes before to a tag of it goes before to all; of equals the newest counts. The same once more
/// takes the place of the earlier one, as the newest.
#[utoipa::path(
    post,
    path = "/api/v2/assignments",
    tag = "hosts",
    request_body = AssignmentRequest,
    responses(
        (status = 201, description = "The assignment", body = AssignmentAnswer),
        (status = 400, description = "The request is malformed", body = ErrorBody),
        (status = 404, description = "There is no such build, or no such host", body = ErrorBody),
        (status = 409, description = "The build has no livepatch, or it was withdrawn", body = ErrorBody),
    ),
)]
pub(crate) async fn assign(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiJson(request): ApiJson<AssignmentRequest>,
) -> Result<(StatusCode, Json<AssignmentAnswer>), HttpError> {
    Ok((StatusCode::CREATED, Json(app.fleet().acting_as(caller.actor()).assign(request).await?)))
}

/// Takes an assignment away. What hosts have loaded by it stays loaded.
#[utoipa::path(
    delete,
    path = "/api/v2/assignments/{id}",
    tag = "hosts",
    params(("id" = i64, Path, description = "The assignment's id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such assignment", body = ErrorBody),
    ),
)]
pub(crate) async fn unassign(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(id): ApiPath<i64>,
) -> Result<StatusCode, HttpError> {
    app.fleet().acting_as(caller.actor()).unassign(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
