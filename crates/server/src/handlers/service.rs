use axum::{Json, extract::State};
use elivepatch_api::{HealthResource, VersionResource};

use crate::{App, http::HttpError};

/// Says how the server and its workers are.
#[utoipa::path(
    get,
    path = "/api/v2/health",
    tag = "service",
    responses((status = 200, description = "The health", body = HealthResource)),
)]
pub(crate) async fn health(State(app): State<App>) -> Result<Json<HealthResource>, HttpError> {
    Ok(Json(app.health().await?))
}

/// Says what the server is.
#[utoipa::path(
    get,
    path = "/api/v2/version",
    tag = "service",
    responses((status = 200, description = "The version", body = VersionResource)),
)]
pub(crate) async fn version(State(app): State<App>) -> Json<VersionResource> {
    Json(app.version())
}
