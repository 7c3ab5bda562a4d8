//! The server: HTTP handlers over app logic over the store, and the chores that keep it tidy.
//!
//! A handler extracts, makes one call into [`App`] and returns a typed answer. There is no SQL in
//! handlers and no HTTP in the app. Workers speak the lease protocol, those of the same process
//! through a router of their own; the server knows nothing of how a livepatch is built.

pub mod app;
pub mod config;
pub mod connections;
mod handlers;
mod http;
pub mod tls;
mod transport;

pub use app::{App, AppError, AppOptions, WorkerEnd};
pub use config::ServerConfig;
pub use elivepatch_store::LEASE_DURATION;
pub use http::{Reach, openapi_document, public_router, worker_router};
pub use transport::RouterTransport;
