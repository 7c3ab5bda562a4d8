//! Receives a build submission: a multipart form, streamed.

use axum::{
    extract::multipart::{Field, Multipart, MultipartError},
    http::StatusCode,
};
use elivepatch_api::BuildSubmission;

use crate::{App, AppError, app::Intake};

use super::router::SUBMISSION_BYTES;

/// Reads the form part by part into the app, and submits.
pub(crate) async fn receive_submission(
    app: &App,
    mut form: Multipart,
) -> Result<BuildSubmission, AppError> {
    let mut intake = app.begin_submission();
    match receive_parts(&mut intake, &mut form).await {
        Ok(()) => intake.finish().await,
        Err(error) => {
            // A client that still sends when the connection closes may never see the answer.
            drop(intake);
            discard(&mut form).await;
            Err(error)
        }
    }
}

async fn receive_parts(intake: &mut Intake, form: &mut Multipart) -> Result<(), AppError> {
    while let Some(mut field) = form.next_field().await.map_err(malformed)? {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let mut part = intake.begin_part(&name, file_name.as_deref())?;
        while let Some(chunk) = next_chunk(&mut field).await? {
            part.write(&chunk).await?;
        }
        intake.end_part(part).await?;
    }
    Ok(())
}

async fn next_chunk(field: &mut Field<'_>) -> Result<Option<bytes::Bytes>, AppError> {
    field.chunk().await.map_err(malformed)
}

/// Reads what is left, up to the limit of the whole form.
async fn discard(form: &mut Multipart) {
    while let Ok(Some(mut field)) = form.next_field().await {
        while let Ok(Some(_)) = field.chunk().await {}
    }
}

fn malformed(error: MultipartError) -> AppError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let what = "the request".to_owned();
        return AppError::TooLarge { what, limit_bytes: SUBMISSION_BYTES as u64 };
    }
    AppError::bad_request(
        format!("the multipart form cannot be read: {}", error.body_text()),
        "send multipart/form-data with the parts request, config and patch",
    )
}
