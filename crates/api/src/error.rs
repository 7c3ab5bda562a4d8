use elivepatch_model::{Failure, FailureClass};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every answer that is not a success has this body: `{"error": {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ApiError,
}

/// What went wrong, for programs (`code`) and people (`message`, `hint`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// A stable code.
    pub code: ErrorCode,
    /// What went wrong, naming the object; one line.
    pub message: String,
    /// What the caller can do.
    pub hint: String,
    /// Names the request in the server's log.
    pub request_id: String,
    /// The failure of a build request that was refused; only with the code `request-refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The stable codes of API errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// 400: the request is malformed: a part is missing, JSON is wrong, a value is out of range.
    BadRequest,
    /// 422: the build request was read and refused; `failure` holds the class.
    RequestRefused,
    /// 401: the request comes without a token, or with one that is not valid.
    Unauthorized,
    /// 403: the token's role does not allow it; or the request comes from a web page of another site, by a
    /// name that is not the server's, or over a connection that is not encrypted.
    Forbidden,
    /// 404: there is no such build, or no such path.
    NotFound,
    /// 405: the path does not know the method.
    MethodNotAllowed,
    /// 409: the build is in a state that does not allow it (no module yet, already finished).
    Conflict,
    /// 409: the worker's lease has ended; whatever it sent was ignored.
    LeaseLost,
    /// 413: a part of the request is larger than its limit.
    TooLarge,
    /// 429: too many builds are waiting already.
    QueueFull,
    /// 507: the server's disk is full.
    DiskFull,
    /// 500: the server failed; its log has the request id.
    Internal,
}

impl ErrorCode {
    /// The HTTP status that goes with the code.
    pub fn status(self) -> u16 {
        match self {
            ErrorCode::BadRequest => 400,
            ErrorCode::Unauthorized => 401,
            ErrorCode::Forbidden => 403,
            ErrorCode::NotFound => 404,
            ErrorCode::MethodNotAllowed => 405,
            ErrorCode::Conflict | ErrorCode::LeaseLost => 409,
            ErrorCode::TooLarge => 413,
            ErrorCode::RequestRefused => 422,
            ErrorCode::QueueFull => 429,
            ErrorCode::Internal => 500,
            ErrorCode::DiskFull => 507,
        }
    }
}

impl ApiError {
    /// The class of the refusal, when the request was refused.
    pub fn failure_class(&self) -> Option<FailureClass> {
        self.failure.as_ref().map(|failure| failure.class)
    }
}
