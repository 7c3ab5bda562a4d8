//! What all handlers share: routers, the form of errors, extractors.

mod access;
mod error;
mod extract;
mod form_body;
mod openapi;
mod origin;
mod proxy;
mod router;
mod upload;
mod v1;

pub use openapi::openapi_document;
pub use origin::Reach;
pub use router::{public_router, worker_router};

pub(crate) use access::{CalledBy, bearer, report_wrong_token};
pub(crate) use error::HttpError;
pub(crate) use extract::{ApiJson, ApiPath, ApiQuery, LeaseHeader, ReportJson};
pub(crate) use upload::{receive_rebuild, receive_run, receive_submission};
pub(crate) use v1::{receive_v1, session_in_body};
