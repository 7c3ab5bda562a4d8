use axum::{Json, extract::State};
use elivepatch_api::{AuditLog, AuditQuery, ErrorBody};

use crate::{
    App,
    http::{ApiQuery, HttpError},
};

/// Lists who asked for, approved and loaded what, the newest first.
#[utoipa::path(
    get,
    path = "/api/v2/audit",
    tag = "service",
    params(AuditQuery),
    responses(
        (status = 200, description = "A page of the audit log", body = AuditLog),
        (status = 400, description = "The query is malformed", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Json<AuditLog>, HttpError> {
    Ok(Json(app.audit_log(&query).await?))
}
