//! The API by route, through the routers as they are served.

mod errors;
mod events;
mod lease;
mod openapi;
mod origin;
mod outcome;
mod rebuild;
mod submit;
mod support;
mod target;
