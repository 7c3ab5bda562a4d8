//! Extractors that refuse in the API's own form.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use elivepatch_api::LEASE_HEADER;
use elivepatch_model::BuildNumber;
use elivepatch_store::LeaseProof;
use serde::de::DeserializeOwned;

use super::{
    HttpError,
    router::{JSON_BODY_BYTES, REPORT_BYTES},
};
use crate::AppError;

/// A JSON body.
pub(crate) struct ApiJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(json_error(&rejection, JSON_BODY_BYTES).into()),
        }
    }
}

/// The JSON body of a host's report, whose route has a limit of its own.
pub(crate) struct ReportJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ReportJson<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(json_error(&rejection, REPORT_BYTES).into()),
        }
    }
}

fn json_error(rejection: &JsonRejection, limit: usize) -> AppError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let limit_bytes = limit as u64;
        return AppError::TooLarge { what: "the request".to_owned(), limit_bytes };
    }
    let hint = match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            "send the header content-type: application/json"
        }
        _ => "GET /api/v2/openapi.json describes the request",
    };
    AppError::bad_request(rejection.body_text(), hint)
}

/// The query of the URL.
pub(crate) struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let hint = "GET /api/v2/openapi.json describes the query";
                Err(AppError::bad_request(rejection.body_text(), hint).into())
            }
        }
    }
}

/// The variable parts of the path. What does not fit them is a path that leads nowhere.
pub(crate) struct ApiPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(_) => Err(AppError::NoSuchPath.into()),
        }
    }
}

/// The lease that a worker's request is about: the build in the path, the token in the header.
pub(crate) struct LeaseHeader(pub LeaseProof);

impl<S: Send + Sync> FromRequestParts<S> for LeaseHeader {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        #[derive(serde::Deserialize)]
        struct InPath {
            number: BuildNumber,
        }
        let ApiPath(InPath { number }) = ApiPath::from_request_parts(parts, state).await?;
        let token =
            parts.headers.get(LEASE_HEADER).and_then(|value| value.to_str().ok()).ok_or_else(
                || {
                    let hint = format!("send the header {LEASE_HEADER}: TOKEN");
                    AppError::bad_request("the token of the lease is missing", hint)
                },
            )?;
        Ok(Self(LeaseProof::new(number, token)))
    }
}
