//! Keeps web pages of other sites from using the server through the browser of somebody who can
//! reach it: where no token is wanted, being able to send a request is all it takes.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::HttpError;
use crate::AppError;

/// From where the public router is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// From this machine only: requests must call the server by a name of the loopback interface.
    /// Any other name is one that a site resolves to 127.0.0.1 to pass for this server.
    ///
    /// Whoever is on the machine may do everything without a token.
    Loopback,
    /// The same, but everybody needs a token.
    GuardedLoopback,
    /// From other machines as well, under any name, and with a token only.
    Network,
}

impl Reach {
    /// Whether only this machine reaches it.
    pub fn is_loopback(self) -> bool {
        self != Self::Network
    }

    /// Whether a request must come with a token.
    pub fn wants_tokens(self) -> bool {
        self != Self::Loopback
    }
}

/// Refuses requests that come from a page of another site.
pub(super) async fn refuse_other_sites(reach: Reach, request: Request, next: Next) -> Response {
    match check(reach, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => HttpError::from(error).into_response(),
    }
}

fn check(reach: Reach, uri: &Uri, headers: &HeaderMap) -> Result<(), AppError> {
    let host = match (uri.authority(), headers.get(header::HOST)) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(value)) => Some(authority(value.as_bytes())?),
        // Only HTTP/1.0, which no browser speaks, and requests inside the process have none.
        (None, None) => None,
    };
    if reach.is_loopback()
        && let Some(host) = &host
        && !is_loopback(host.host())
    {
        return Err(AppError::Forbidden {
            message: format!("the request asks for {host}, which is not a name of this server"),
            hint: "call it localhost, 127.0.0.1 or [::1]; a proxy before it must set the header \
                   Host to one of them"
                .to_owned(),
        });
    }
    for origin in headers.get_all(header::ORIGIN) {
        let text = origin.as_bytes();
        let after_scheme = text.strip_prefix(b"http://").or_else(|| text.strip_prefix(b"https://"));
        let site = after_scheme.and_then(|rest| authority(rest).ok());
        if site.is_none() || site != host {
            let origin = String::from_utf8_lossy(text).escape_debug().to_string();
            return Err(AppError::Forbidden {
                message: format!("the request comes from a page of another site: {origin}"),
                hint: "use the elivepatch client, or a program that sends no Origin".to_owned(),
            });
        }
    }
    Ok(())
}

fn authority(text: &[u8]) -> Result<Authority, AppError> {
    Authority::try_from(text).map_err(|_| {
        AppError::bad_request("the header Host is not a name with a port", "send HOST:PORT")
    })
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        // RFC 6761: these names always mean the machine itself.
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}
