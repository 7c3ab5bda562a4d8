use axum::{Json, extract::State, http::StatusCode};
use elivepatch_api::{
    ErrorBody, NewestFirstQuery, WithdrawalAnswer, WithdrawalList, WithdrawalRequest,
};
use elivepatch_model::BuildNumber;

use crate::{
    App,
    http::{ApiJson, ApiPath, ApiQuery, CalledBy, HttpError},
};

/// Lists the livepatches that no host may run, those of the newest builds first.
#[utoipa::path(
    get,
    path = "/api/v2/withdrawals",
    tag = "hosts",
    params(NewestFirstQuery),
    responses(
        (status = 200, description = "A page of withdrawals", body = WithdrawalList),
        (status = 400, description = "The query is malformed", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<NewestFirstQuery>,
) -> Result<Json<WithdrawalList>, HttpError> {
    Ok(Json(app.fleet().withdrawals(query).await?))
}

/// Withdraws the livepatch of a build: hosts that run it take it back at their next report, also those that are
/// held, and none loads it.
#[utoipa::path(
    post,
    path = "/api/v2/withdrawals",
    tag = "hosts",
    request_body = WithdrawalRequest,
    responses(
        (status = 201, description = "The withdrawal", body = WithdrawalAnswer),
        (status = 400, description = "The request is malformed", body = ErrorBody),
        (status = 404, description = "There is no such build", body = ErrorBody),
        (status = 409, description = "The build has no livepatch", body = ErrorBody),
    ),
)]
pub(crate) async fn withdraw(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiJson(request): ApiJson<WithdrawalRequest>,
) -> Result<(StatusCode, Json<WithdrawalAnswer>), HttpError> {
    Ok((StatusCode::CREATED, Json(app.fleet().acting_as(caller.actor()).withdraw(request).await?)))
}

/// Lets hosts run a livepatch again that was withdrawn. What is assigned of it counts again.
#[utoipa::path(
    delete,
    path = "/api/v2/withdrawals/{build}",
    tag = "hosts",
    params(("build" = i64, Path, description = "The number of the build that made it")),
    responses(
        (status = 204, description = "It is allowed"),
        (status = 404, description = "It was not withdrawn", body = ErrorBody),
    ),
)]
pub(crate) async fn allow(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(build): ApiPath<BuildNumber>,
) -> Result<StatusCode, HttpError> {
    app.fleet().acting_as(caller.actor()).allow(build).await?;
    Ok(StatusCode::NO_CONTENT)
}
