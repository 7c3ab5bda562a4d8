use axum::{
    Json,
    extract::State,
    http::{Extensions, HeaderMap, StatusCode},
};
use elivepatch_api::{EnrolmentAnswer, EnrolmentRequest, ErrorBody};

use crate::{
    App, AppError,
    http::{HttpError, ReportJson, bearer, report_wrong_token},
};

/// Registers a host with a one-time token, and gives it its own.
#[utoipa::path(
    post,
    path = "/api/v2/enrolments",
    tag = "hosts",
    request_body = EnrolmentRequest,
    responses(
        (status = 201, description = "The host is registered", body = EnrolmentAnswer),
        (status = 400, description = "The request is malformed", body = ErrorBody),
        (status = 401, description = "The token does not enrol a host, or not any more", body = ErrorBody),
        (status = 403, description = "The token enrols another host", body = ErrorBody),
        (status = 409, description = "A host of this name is registered already", body = ErrorBody),
    ),
)]
pub(crate) async fn enrol(
    State(app): State<App>,
    headers: HeaderMap,
    extensions: Extensions,
    ReportJson(request): ReportJson<EnrolmentRequest>,
) -> Result<(StatusCode, Json<EnrolmentAnswer>), HttpError> {
    let token = bearer(&headers).ok_or_else(AppError::without_enrolment_token)?;
    let enrolled = app.enrol(token, request).await;
    if let Err(error @ AppError::Unauthorized { .. }) = &enrolled {
        report_wrong_token(&extensions, token, error);
    }
    Ok((StatusCode::CREATED, Json(enrolled?)))
}
