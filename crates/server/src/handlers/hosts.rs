use axum::{Json, extract::State, http::StatusCode};
use elivepatch_api::{
    ErrorBody, HostList, HostOrder, HostReport, HostResource, HostTags, ListHostsQuery,
};
use elivepatch_model::HostName;

use crate::{
    App,
    http::{ApiJson, ApiPath, ApiQuery, CalledBy, HttpError, ReportJson},
};

/// Lists hosts, by their names.
#[utoipa::path(
    get,
    path = "/api/v2/hosts",
    tag = "hosts",
    params(ListHostsQuery),
    responses(
        (status = 200, description = "A page of hosts", body = HostList),
        (status = 400, description = "The query is malformed", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<ListHostsQuery>,
) -> Result<Json<HostList>, HttpError> {
    Ok(Json(app.fleet().list(query).await?))
}

/// Shows a host: its last report, what it is told, and what happened on it.
#[utoipa::path(
    get,
    path = "/api/v2/hosts/{name}",
    tag = "hosts",
    params(("name" = String, Path, description = "The host's name")),
    responses(
        (status = 200, description = "The host", body = HostResource),
        (status = 404, description = "There is no such host", body = ErrorBody),
    ),
)]
pub(crate) async fn show(
    State(app): State<App>,
    ApiPath(name): ApiPath<HostName>,
) -> Result<Json<HostResource>, HttpError> {
    Ok(Json(app.fleet().show(&name).await?))
}

/// Forgets a host with its report, its events, and what was assigned to it alone.
#[utoipa::path(
    delete,
    path = "/api/v2/hosts/{name}",
    tag = "hosts",
    params(("name" = String, Path, description = "The host's name")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 404, description = "There is no such host", body = ErrorBody),
    ),
)]
pub(crate) async fn forget(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(name): ApiPath<HostName>,
) -> Result<StatusCode, HttpError> {
    app.forget_host(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a host's report, and says what the host is to do.
#[utoipa::path(
    put,
    path = "/api/v2/hosts/{name}/report",
    tag = "hosts",
    params(("name" = String, Path, description = "The host's name")),
    request_body = HostReport,
    responses(
        (status = 200, description = "What it is to do", body = HostOrder),
        (status = 400, description = "The report cannot be one", body = ErrorBody),
        (status = 404, description = "There is no such host", body = ErrorBody),
        (status = 413, description = "The report is too large", body = ErrorBody),
    ),
)]
pub(crate) async fn report(
    State(app): State<App>,
    ApiPath(name): ApiPath<HostName>,
    ReportJson(report): ReportJson<HostReport>,
) -> Result<Json<HostOrder>, HttpError> {
    Ok(Json(app.report(&name, report).await?))
}

/// Gives a host these tags in the place of those that it had.
#[utoipa::path(
    put,
    path = "/api/v2/hosts/{name}/tags",
    tag = "hosts",
    params(("name" = String, Path, description = "The host's name")),
    request_body = HostTags,
    responses(
        (status = 200, description = "The host", body = HostResource),
        (status = 400, description = "They are too many, or one is no tag", body = ErrorBody),
        (status = 404, description = "There is no such host", body = ErrorBody),
    ),
)]
pub(crate) async fn tag(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    ApiPath(name): ApiPath<HostName>,
    ApiJson(HostTags { tags }): ApiJson<HostTags>,
) -> Result<Json<HostResource>, HttpError> {
    Ok(Json(app.fleet().acting_as(caller.actor()).tag(&name, tags).await?))
}
