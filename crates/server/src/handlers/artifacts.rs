use axum::{
    Json,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use elivepatch_api::{ErrorBody, LivepatchResource};
use elivepatch_model::{BuildNumber, ElfBuildId, Manifest, Sha256Digest};
use tokio_util::io::ReaderStream;

use crate::{
    App,
    app::ModuleFile,
    http::{ApiPath, HttpError},
};

/// The header with the digest of a module.
const DIGEST_HEADER: &str = "x-elivepatch-sha256";

/// Fetches the module of a finished build.
#[utoipa::path(
    get,
    path = "/api/v2/builds/{number}/module",
    tag = "builds",
    params(("number" = i64, Path, description = "The build's number")),
    responses(
        (status = 200, description = "The kernel module", body = Vec<u8>, content_type = "application/octet-stream",
            headers(("x-elivepatch-sha256" = String, description = "SHA-256 of the module"))),
        (status = 404, description = "There is no such build", body = ErrorBody),
        (status = 409, description = "The build has no livepatch, or not yet", body = ErrorBody),
    ),
)]
pub(crate) async fn module(
    State(app): State<App>,
    ApiPath(number): ApiPath<BuildNumber>,
) -> Result<Response, HttpError> {
    Ok(module_answer(app.module(number).await?))
}

/// The answer with a module.
pub(super) fn module_answer(module: ModuleFile) -> Response {
    let name = header_safe(&module.record.file_name);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, module.reader.size_bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::HeaderName::from_static(DIGEST_HEADER), module.record.digest.to_string()),
    ];
    let body = Body::from_stream(ReaderStream::new(module.reader.file));
    (headers, body).into_response()
}

/// A file name that cannot end the header or leave a directory.
fn header_safe(name: &str) -> String {
    let safe = |character: char| {
        if character.is_ascii_alphanumeric() || "._+-".contains(character) {
            character
        } else {
            '_'
        }
    };
    name.chars().map(safe).collect()
}

/// Fetches the manifest of a finished build.
#[utoipa::path(
    get,
    path = "/api/v2/builds/{number}/manifest",
    tag = "builds",
    params(("number" = i64, Path, description = "The build's number")),
    responses(
        (status = 200, description = "The manifest", body = Manifest),
        (status = 404, description = "There is no such build", body = ErrorBody),
        (status = 409, description = "The build has no livepatch, or not yet", body = ErrorBody),
    ),
)]
pub(crate) async fn manifest(
    State(app): State<App>,
    ApiPath(number): ApiPath<BuildNumber>,
) -> Result<Response, HttpError> {
    let text = app.manifest_text(number).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Fetches one of the fixes of a build as it was sent.
#[utoipa::path(
    get,
    path = "/api/v2/builds/{number}/patches/{digest}",
    tag = "builds",
    params(
        ("number" = i64, Path, description = "The build's number"),
        ("digest" = String, Path, description = "SHA-256 of the patch, as the build names it"),
    ),
    responses(
        (status = 200, description = "The patch", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "There is no such build, or it has no such fix", body = ErrorBody),
    ),
)]
pub(crate) async fn patch(
    State(app): State<App>,
    ApiPath((number, digest)): ApiPath<(BuildNumber, Sha256Digest)>,
) -> Result<Response, HttpError> {
    let reader = app.patch(number, digest).await?;
    let headers = [
        // A stranger's text: no browser is to make anything of it.
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, reader.size_bytes.to_string()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(reader.file))).into_response())
}

/// Finds the livepatch whose module has a build-id: what a machine has loaded tells it.
#[utoipa::path(
    get,
    path = "/api/v2/livepatches/{build_id}",
    tag = "builds",
    params(("build_id" = String, Path, description = "The GNU build-id of the module, in hexadecimal")),
    responses(
        (status = 200, description = "The newest build that made it", body = LivepatchResource),
        (status = 404, description = "None was made here, or its module is gone", body = ErrorBody),
    ),
)]
pub(crate) async fn livepatch(
    State(app): State<App>,
    ApiPath(build_id): ApiPath<ElfBuildId>,
) -> Result<Json<LivepatchResource>, HttpError> {
    Ok(Json(app.livepatch(&build_id).await?))
}

/// Fetches the signature of the manifest of a finished build, in the form of the program minisign: of exactly
/// the bytes that are sent as the manifest.
#[utoipa::path(
    get,
    path = "/api/v2/builds/{number}/manifest.minisig",
    tag = "builds",
    params(("number" = i64, Path, description = "The build's number")),
    responses(
        (status = 200, description = "The signature", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such build, or this server signs nothing", body = ErrorBody),
        (status = 409, description = "The build has no livepatch, or not yet", body = ErrorBody),
    ),
)]
pub(crate) async fn manifest_signature(
    State(app): State<App>,
    ApiPath(number): ApiPath<BuildNumber>,
) -> Result<Response, HttpError> {
    let text = app.manifest_signature(number).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
