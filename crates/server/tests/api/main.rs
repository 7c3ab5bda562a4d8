//! The API by route, through the routers as they are served.

mod access;
mod bare_version;
mod errors;
mod events;
mod hosts;
mod lease;
mod openapi;
mod origin;
mod outcome;
mod proxy;
mod rebuild;
mod remote_workers;
mod submit;
mod support;
mod target;
mod v1;
