use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use elivepatch_api::{BuildSubmission, ErrorBody, RebuildParts};

use crate::{
    App,
    http::{CalledBy, HttpError, receive_rebuild},
};

/// Builds a livepatch again, to compare the two.
///
/// The request comes from the livepatch's manifest. Config and patches are taken from the server's
/// own store by their digests, as far as they are not sent along. The build is a new one whatever
/// is there, has the key of the old one and so the same name for its module, and is joined by none.
/// It ends with the class `rebuild-differs` when the source or the toolchain root is another one,
/// unless the request says to go on anyway.
#[utoipa::path(
    post,
    path = "/api/v2/rebuilds",
    tag = "builds",
    request_body(content = RebuildParts, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "A new build waits in the queue", body = BuildSubmission),
        (status = 400, description = "The form is malformed, or the manifest does not fit its texts", body = ErrorBody),
        (status = 403, description = "The request comes from another site", body = ErrorBody),
        (status = 404, description = "The server does not have the config or a patch: send it along", body = ErrorBody),
        (status = 413, description = "A part is too large", body = ErrorBody),
        (status = 422, description = "The request was refused; see error.failure", body = ErrorBody),
        (status = 429, description = "Too many builds wait", body = ErrorBody),
        (status = 507, description = "The server's disk is full", body = ErrorBody),
    ),
)]
pub(crate) async fn submit(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    request: Request,
) -> Result<(StatusCode, Json<BuildSubmission>), HttpError> {
    Ok((StatusCode::CREATED, Json(receive_rebuild(&app, &caller, request).await?)))
}
