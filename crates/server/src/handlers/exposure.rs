use axum::{Json, extract::State};
use elivepatch_api::{ErrorBody, ExposureQuery, ExposureResource};

use crate::{
    App,
    http::{ApiQuery, HttpError},
};

/// Says which hosts are exposed to which CVEs, by their last reports: to each CVE how many, how each host stands
/// to one CVE, or to what one host is exposed.
#[utoipa::path(
    get,
    path = "/api/v2/exposure",
    tag = "hosts",
    params(ExposureQuery),
    responses(
        (status = 200, description = "The exposure", body = ExposureResource),
        (status = 400, description = "The query is malformed, or no feed was read", body = ErrorBody),
        (status = 404, description = "There is no such host, or the feed has no such CVE", body = ErrorBody),
    ),
)]
pub(crate) async fn show(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<ExposureQuery>,
) -> Result<Json<ExposureResource>, HttpError> {
    Ok(Json(app.exposure(query).await?))
}
