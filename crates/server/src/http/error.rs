//! Every answer that is not a success has the same form, whoever in the stack produced it.

use std::{any::Any, sync::Arc, time::Instant};

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use elivepatch_api::{ApiError, ErrorBody, ErrorCode, v1::V1ErrorBody};
use elivepatch_model::{clamp_line, limits};
use tracing::Instrument;

use super::access::is_of_v1;
use crate::AppError;

/// The header that names a request, in answers and in the log.
const REQUEST_ID: &str = "x-request-id";

/// The longest request id that is taken over from a client, in bytes.
const REQUEST_ID_BYTES: usize = 64;

/// An error on its way out of a handler. The body is written by [`answer_errors`], which knows the
/// request's id.
#[derive(Debug)]
pub(crate) struct HttpError(AppError);

impl<E: Into<AppError>> From<E> for HttpError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let status = status_of(self.0.code());
        let mut response = status.into_response();
        response.extensions_mut().insert(Arc::new(self.0));
        response
    }
}

fn status_of(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.status()).expect("every code has a valid status")
}

/// Gives the request an id, logs it, and writes the body of an answer that is an error.
pub(super) async fn answer_errors(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let span = tracing::info_span!(
        "request",
        id,
        method = %request.method(),
        path = request.uri().path(),
    );
    let is_of_v1 = is_of_v1(request.uri().path());
    let is_order_of_v1 = is_of_v1 && request.method() == Method::POST;
    let began = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let _entered = span.enter();
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let error = response.extensions_mut().remove::<Arc<AppError>>();
        let error = error.unwrap_or_else(|| Arc::new(foreign_error(status)));
        response = error_answer(&error, &id, is_of_v1, response);
        if is_order_of_v1 {
            // Of a refused one not all may have been read: then nothing else can come on this connection.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(axum::http::header::CONNECTION, close);
        }
    }
    tracing::debug!(
        status = response.status().as_u16(),
        milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The client's own id when it is harmless in a log, else a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |id: &&str| {
        (1..=REQUEST_ID_BYTES).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    given.filter(harmless).map_or_else(|| uuid::Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// An error that axum itself answered with, such as a body that is too large.
fn foreign_error(status: StatusCode) -> AppError {
    match status {
        StatusCode::NOT_FOUND => AppError::NoSuchPath,
        StatusCode::PAYLOAD_TOO_LARGE => AppError::TooLarge {
            what: "the request".to_owned(),
            limit_bytes: super::router::JSON_BODY_BYTES as u64,
        },
        status if status.is_client_error() => AppError::bad_request(
            format!("the request is malformed ({status})"),
            "GET /api/v2/openapi.json describes the requests",
        ),
        status => AppError::Panicked(format!("an answer with status {status} without a cause")),
    }
}

fn error_answer(error: &AppError, id: &str, is_of_v1: bool, old: Response) -> Response {
    let code = error.code();
    if code == ErrorCode::Internal || code == ErrorCode::DiskFull {
        tracing::error!(error = error as &dyn std::error::Error, "request failed");
    } else {
        let message = clamp_line(&error.message(), limits::FAILURE_LINE_CHARACTERS);
        tracing::info!(?code, "request refused: {message}");
    }
    let failure = match error {
        AppError::Refused(failure) => Some(failure.clamped()),
        _ => None,
    };
    let retry_after_seconds = error.retry_after_seconds();
    let error = ApiError {
        code,
        // Some name what was sent, which may be as long as the request.
        message: clamp_line(&error.message(), limits::FAILURE_LINE_CHARACTERS),
        hint: clamp_line(&error.hint(), limits::FAILURE_LINE_CHARACTERS),
        request_id: id.to_owned(),
        failure,
    };
    let mut response = match is_of_v1 {
        true => {
            let message = error.message.clone();
            (status_of(code), axum::Json(V1ErrorBody { message, error })).into_response()
        }
        false => (status_of(code), axum::Json(ErrorBody { error })).into_response(),
    };
    if code == ErrorCode::Unauthorized {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, scheme);
    }
    if let Some(seconds) = retry_after_seconds {
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds.into());
    }
    // 405 comes with the methods that are allowed.
    if let Some(allow) = old.headers().get(axum::http::header::ALLOW) {
        response.headers_mut().insert(axum::http::header::ALLOW, allow.clone());
    }
    response
}

/// Answers for a handler that panicked.
pub(super) fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    HttpError(AppError::Panicked(message.to_owned())).into_response()
}
