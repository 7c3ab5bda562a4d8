//! The REST API v1.0, as the client of the first elivepatch (2017) speaks it.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use elivepatch_api::v1::{AgentList, GetFilesAnswer, SessionEcho};

use super::artifacts::module_answer;
use crate::{
    App, AppError,
    app::V1Outcome,
    http::{CalledBy, HttpError, receive_v1, session_in_body},
};

/// What a client is told that sends the same session twice.
const SEEN: &str = "this UUID was seen before, and nothing was ordered: GET send_livepatch gives its livepatch when \
    there is one; for another livepatch take another UUID";

/// Says what answers here.
pub(crate) async fn agent() -> Json<AgentList> {
    Json(AgentList::of_the_first_elivepatch())
}

/// Orders a build, and answers when it has ended.
pub(crate) async fn get_files(
    State(app): State<App>,
    CalledBy(caller): CalledBy,
    request: Request,
) -> Result<(StatusCode, Json<GetFilesAnswer>), HttpError> {
    let (session, outcome) = receive_v1(&app, &caller, request).await?;
    let get_config = SessionEcho { kernel_version: None, uuid: session.as_str().to_owned() };
    let message = (outcome == V1Outcome::Seen).then(|| SEEN.to_owned());
    Ok((StatusCode::CREATED, Json(GetFilesAnswer { get_config, message })))
}

/// Sends the module of a session.
pub(crate) async fn send_livepatch(
    State(app): State<App>,
    request: Request,
) -> Result<Response, HttpError> {
    let session = session_in_body(request.into_body()).await?;
    Ok(module_answer(app.module_of_session(&session).await?))
}

/// Answers for the methods that the first elivepatch refused in these words.
pub(crate) async fn not_the_patches() -> HttpError {
    AppError::not_the_patches(
        "POST get_files orders a build, GET send_livepatch fetches its module",
    )
    .into()
}
