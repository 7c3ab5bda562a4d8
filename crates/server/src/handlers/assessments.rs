use axum::{Json, extract::State};
use elivepatch_api::{AssessmentRequest, AssessmentResource, ErrorBody};

use crate::{
    App,
    http::{ApiJson, HttpError},
};

/// Works out which CVEs of the feed matter on a kernel. Nothing is built.
#[utoipa::path(
    post,
    path = "/api/v2/assessments",
    tag = "cve",
    request_body = AssessmentRequest,
    responses(
        (status = 200, description = "The CVEs with their verdicts", body = AssessmentResource),
        (status = 400, description = "The kernel's version cannot be told, or no feed was read", body = ErrorBody),
    ),
)]
pub(crate) async fn assess(
    State(app): State<App>,
    ApiJson(request): ApiJson<AssessmentRequest>,
) -> Result<Json<AssessmentResource>, HttpError> {
    Ok(Json(app.assess(request).await?))
}
