//! Keeps those who come through a proxy from passing for users of the machine that the proxy runs on.

use axum::http::{HeaderMap, HeaderName, header};

use crate::AppError;

/// What proxies add beside all that begins with [`X_FORWARDED`]: RFC 7239, RFC 9110, what nginx's manual sets, and what
/// content delivery networks do.
const HEADERS: [HeaderName; 7] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// How the names of others of their headers begin: -For, -Host, -Proto, -Server.
const X_FORWARDED: &str = "x-forwarded-";

/// Refuses a request that came through a proxy, where being on this machine is all that is asked for. One that adds no
/// header is not noticed.
///
/// # Errors
/// [`AppError::Forbidden`] for one that did.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), AppError> {
    let is_of_a_proxy =
        |name: &&HeaderName| HEADERS.contains(*name) || name.as_str().starts_with(X_FORWARDED);
    let Some(name) = headers.keys().find(is_of_a_proxy) else { return Ok(()) };
    let name = name.as_str();
    Err(AppError::Forbidden {
        message: format!(
            "the request came through a proxy (it has the header {name}), and this server takes whoever reaches it for a \
             user of its own machine"
        ),
        hint: "set tokens = \"always\" under [access] in the server's config, and have tokens made: elivepatch-server \
               token create; for clients of the REST API v1.0 also set v1 = true under [compat]"
            .to_owned(),
    })
}
