use axum::{Json, extract::State, http::StatusCode};
use elivepatch_api::{ErrorBody, Hold, HoldList, HoldRequest};
use elivepatch_model::{HostName, Tag, Whom};

use crate::{
    App,
    http::{ApiJson, ApiPath, CalledBy, HttpError},
};

/// Lists what is held.
#[utoipa::path(
    get,
    path = "/api/v2/holds",
    tag = "hosts",
    responses((status = 200, description = "The holds", body = HoldList)),
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<HoldList>, HttpError> {
    Ok(Json(app.fleet().holds().await?))
}

/// Holds a host: it stays as it is until it is released, but for livepatches that are withdrawn.
#[utoipa::path(
    put,
    path = "/api/v2/hosts/{name}/hold",
    tag = "hosts",
    params(("name" = String, Path, description = "The host's name")),
    request_body = HoldRequest,
    responses(
        (status = 200, description = "The hold", body = Hold),
        (status = 400, description = "The reason is too long", body = ErrorBody),
        (status = 404, description = "There is no such host", body = ErrorBody),
    ),
)]
pub(crate) async fn hold_host(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(name): ApiPath<HostName>,
    ApiJson(HoldRequest { reason }): ApiJson<HoldRequest>,
) -> Result<Json<Hold>, HttpError> {
    Ok(Json(app.fleet().acting_as(caller.actor()).hold(Whom::Host(name), reason).await?))
}

/// Releases a host that is held; a hold of a tag of it or of all stays.
#[utoipa::path(
    delete,
    path = "/api/v2/hosts/{name}/hold",
    tag = "hosts",
    params(("name" = String, Path, description = "The host's name")),
    responses(
        (status = 204, description = "It is released"),
        (status = 404, description = "There is no such host, or nothing holds it", body = ErrorBody),
    ),
)]
pub(crate) async fn release_host(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(name): ApiPath<HostName>,
) -> Result<StatusCode, HttpError> {
    app.fleet().acting_as(caller.actor()).release(&Whom::Host(name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Holds all hosts with a tag, also those that get it later.
#[utoipa::path(
    put,
    path = "/api/v2/holds/tags/{tag}",
    tag = "hosts",
    params(("tag" = String, Path, description = "The tag")),
    request_body = HoldRequest,
    responses(
        (status = 200, description = "The hold", body = Hold),
        (status = 400, description = "The reason is too long", body = ErrorBody),
    ),
)]
pub(crate) async fn hold_tag(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(tag): ApiPath<Tag>,
    ApiJson(HoldRequest { reason }): ApiJson<HoldRequest>,
) -> Result<Json<Hold>, HttpError> {
    Ok(Json(app.fleet().acting_as(caller.actor()).hold(Whom::Tag(tag), reason).await?))
}

/// Releases the hosts with a tag; a hold of one of them or of all stays.
#[utoipa::path(
    delete,
    path = "/api/v2/holds/tags/{tag}",
    tag = "hosts",
    params(("tag" = String, Path, description = "The tag")),
    responses(
        (status = 204, description = "They are released"),
        (status = 404, description = "Nothing holds them", body = ErrorBody),
    ),
)]
pub(crate) async fn release_tag(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(tag): ApiPath<Tag>,
) -> Result<StatusCode, HttpError> {
    app.fleet().acting_as(caller.actor()).release(&Whom::Tag(tag)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Holds all hosts.
#[utoipa::path(
    put,
    path = "/api/v2/holds/all",
    tag = "hosts",
    request_body = HoldRequest,
    responses(
        (status = 200, description = "The hold", body = Hold),
        (status = 400, description = "The reason is too long", body = ErrorBody),
    ),
)]
pub(crate) async fn hold_all(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiJson(HoldRequest { reason }): ApiJson<HoldRequest>,
) -> Result<Json<Hold>, HttpError> {
    Ok(Json(app.fleet().acting_as(caller.actor()).hold(Whom::All, reason).await?))
}

/// Releases what was held as all hosts; a hold of one of them or of a tag stays.
#[utoipa::path(
    delete,
    path = "/api/v2/holds/all",
    tag = "hosts",
    responses(
        (status = 204, description = "They are released"),
        (status = 404, description = "Nothing holds them", body = ErrorBody),
    ),
)]
pub(crate) async fn release_all(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
) -> Result<StatusCode, HttpError> {
    app.fleet().acting_as(caller.actor()).release(&Whom::All).await?;
    Ok(StatusCode::NO_CONTENT)
}
