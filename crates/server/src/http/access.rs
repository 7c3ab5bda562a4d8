//! Who may ask for what: one table, asked before any handler.

use std::net::SocketAddr;

use axum::{
    RequestPartsExt,
    extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams, Request},
    http::{Extensions, HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use elivepatch_api::v1;
use elivepatch_model::{AccessToken, Role};

use super::{HttpError, Reach, proxy, upload::discard_rest};
use crate::{App, AppError, app::Caller};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Anybody. What the handler wants to see beside, it asks for itself.
    Anybody,
    /// Anybody on the server's machine; others need a token of any role.
    AnybodyHere,
    /// Clients of the REST API v1.0, which have no tokens, where the server answers them.
    OldClient,
    /// Who may see what is there.
    Reader,
    /// Who may order builds.
    Submitter,
    /// Administrators.
    Admin,
    /// Readers, and the host that the path names.
    ReaderOrHost,
    /// Administrators, and the host that the path names.
    AdminOrHost,
    /// Readers, and hosts to which the build is assigned that the path names.
    ReaderOrAssigned,
    /// Machines that build. Nobody else, and nobody without a token anywhere: who hands over a livepatch says what it
    /// fixes, and others load it for that.
    Worker,
}

/// The one table: method, route, and who may use it. A route that is not in it answers nobody.
const RULES: &[(&str, &str, Who)] = &[
    ("GET", "/api/v2/health", Who::Anybody),
    ("POST", "/api/v2/enrolments", Who::Anybody),
    ("GET", "/api/v2/version", Who::AnybodyHere),
    ("GET", "/api/v2/openapi.json", Who::Reader),
    ("GET", "/api/v2/builds", Who::Reader),
    ("POST", "/api/v2/builds", Who::Submitter),
    ("GET", "/api/v2/builds/{number}", Who::ReaderOrAssigned),
    ("POST", "/api/v2/builds/{number}/cancel", Who::Submitter),
    ("GET", "/api/v2/builds/{number}/events", Who::Reader),
    ("GET", "/api/v2/builds/{number}/module", Who::ReaderOrAssigned),
    ("GET", "/api/v2/builds/{number}/manifest", Who::ReaderOrAssigned),
    ("GET", "/api/v2/builds/{number}/manifest.minisig", Who::ReaderOrAssigned),
    // The next livepatch of the machine is made of them, too.
    ("GET", "/api/v2/builds/{number}/patches/{digest}", Who::ReaderOrAssigned),
    ("GET", "/api/v2/livepatches/{build_id}", Who::Reader),
    ("POST", "/api/v2/rebuilds", Who::Submitter),
    // It changes nothing.
    ("POST", "/api/v2/assessments", Who::Reader),
    ("GET", "/api/v2/cve-runs", Who::Reader),
    ("POST", "/api/v2/cve-runs", Who::Submitter),
    ("GET", "/api/v2/cve-runs/{number}", Who::Reader),
    ("POST", "/api/v2/cve-runs/{number}/cancel", Who::Submitter),
    ("GET", "/api/v2/audit", Who::Admin),
    ("GET", "/api/v2/hosts", Who::Reader),
    ("GET", "/api/v2/hosts/{name}", Who::ReaderOrHost),
    ("DELETE", "/api/v2/hosts/{name}", Who::Admin),
    ("PUT", "/api/v2/hosts/{name}/report", Who::AdminOrHost),
    ("PUT", "/api/v2/hosts/{name}/tags", Who::Admin),
    ("PUT", "/api/v2/hosts/{name}/hold", Who::Admin),
    ("DELETE", "/api/v2/hosts/{name}/hold", Who::Admin),
    ("GET", "/api/v2/holds", Who::Reader),
    ("PUT", "/api/v2/holds/all", Who::Admin),
    ("DELETE", "/api/v2/holds/all", Who::Admin),
    ("PUT", "/api/v2/holds/tags/{tag}", Who::Admin),
    ("DELETE", "/api/v2/holds/tags/{tag}", Who::Admin),
    ("GET", "/api/v2/assignments", Who::Reader),
    ("POST", "/api/v2/assignments", Who::Admin),
    ("DELETE", "/api/v2/assignments/{id}", Who::Admin),
    ("GET", "/api/v2/withdrawals", Who::Reader),
    ("POST", "/api/v2/withdrawals", Who::Admin),
    ("DELETE", "/api/v2/withdrawals/{build}", Who::Admin),
    ("GET", "/api/v2/exposure", Who::Reader),
    ("GET", v1::ROOT, Who::OldClient),
    ("GET", v1::AGENT, Who::OldClient),
    ("GET", v1::GET_FILES, Who::OldClient),
    ("POST", v1::GET_FILES, Who::OldClient),
    ("GET", v1::SEND_LIVEPATCH, Who::OldClient),
    ("POST", v1::SEND_LIVEPATCH, Who::OldClient),
    ("POST", "/worker/v2/leases", Who::Worker),
    ("POST", "/worker/v2/builds/{number}/heartbeat", Who::Worker),
    ("POST", "/worker/v2/builds/{number}/events", Who::Worker),
    ("PUT", "/worker/v2/builds/{number}/module", Who::Worker),
    ("POST", "/worker/v2/builds/{number}/complete", Who::Worker),
    ("POST", "/worker/v2/builds/{number}/complete-probe", Who::Worker),
    ("POST", "/worker/v2/builds/{number}/fail", Who::Worker),
    ("POST", "/worker/v2/builds/{number}/release", Who::Worker),
    ("GET", "/worker/v2/builds/{number}/blobs/{digest}", Who::Worker),
];

impl Who {
    /// The least role that is enough for everything on the route.
    fn role(self) -> Role {
        match self {
            Self::Submitter => Role::Submit,
            Self::Admin | Self::AdminOrHost => Role::Admin,
            Self::Worker => Role::Worker,
            Self::Anybody
            | Self::AnybodyHere
            | Self::OldClient
            | Self::Reader
            | Self::ReaderOrHost
            | Self::ReaderOrAssigned => Role::Read,
        }
    }

    /// The same in words, for who is refused.
    fn in_words(self) -> String {
        let role = self.role();
        match self {
            Self::ReaderOrHost | Self::AdminOrHost => {
                format!("the role {role}, or the host itself")
            }
            Self::ReaderOrAssigned => {
                format!("the role {role}, or a host to which this build is assigned")
            }
            _ => format!("the role {role}"),
        }
    }
}

/// Lets a request pass whose sender may do what it asks for, and tells the handler who that is.
pub(super) async fn authorise(app: App, reach: Reach, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match check(&app, reach, &mut parts).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => {
            // A client of the REST API v1.0 reads no answer before it has sent all.
            if parts.method == Method::POST && is_of_v1(parts.uri.path()) {
                discard_rest(body);
            }
            refusal
        }
    }
}

/// Whether a path is one of the REST API v1.0, or would be.
pub(super) fn is_of_v1(path: &str) -> bool {
    path.starts_with(v1::ROOT)
}

/// Who sends a request, where that is asked; or the answer to one that may not pass.
async fn check(app: &App, reach: Reach, parts: &mut Parts) -> Result<Option<Caller>, Response> {
    let refuse = |error: AppError| HttpError::from(error).into_response();
    let route = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // A HEAD is answered as the GET is, without the body.
    let method = match parts.method {
        Method::HEAD => Method::GET.to_string(),
        ref method => method.to_string(),
    };
    let of_route = || RULES.iter().filter(|(_, path, _)| Some(*path) == route.as_deref());
    let rule = of_route().find(|(known, ..)| *known == method).map(|(.., who)| *who);
    if rule == Some(Who::Anybody) {
        return Ok(None);
    }
    if rule == Some(Who::OldClient) {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let caller = app.v1_caller(peer).map_err(refuse)?;
        if !reach.wants_tokens() {
            proxy::refuse(&parts.headers).map_err(refuse)?;
        }
        return Ok(Some(caller));
    }
    let caller = match bearer(&parts.headers) {
        Some(token) => Some(app.caller(token).await.map_err(|error| {
            report_wrong_token(&parts.extensions, token, &error);
            refuse(error)
        })?),
        None if rule == Some(Who::Worker) => return Err(refuse(AppError::without_worker_token())),
        None if !reach.wants_tokens() => {
            if rule != Some(Who::AnybodyHere) {
                proxy::refuse(&parts.headers).map_err(refuse)?;
            }
            Some(Caller::anybody_here())
        }
        None if rule == Some(Who::AnybodyHere) && reach.is_loopback() => return Ok(None),
        None => None,
    };
    let caller = caller.ok_or_else(|| refuse(AppError::without_token()))?;
    match rule {
        Some(who) => match may(app, who, &caller, parts).await.map_err(refuse)? {
            true => Ok(Some(caller)),
            false => Err(refuse_role(app, who, &caller, &method, route.as_deref(), parts).await),
        },
        // No such path: the router says so.
        None if route.is_none() => Ok(Some(caller)),
        None if of_route().next().is_some() => {
            let methods: Vec<&str> = of_route().map(|(method, ..)| *method).collect();
            let mut answer = refuse(AppError::MethodNotAllowed(method));
            let allowed = methods.join(",").replace("GET", "GET,HEAD");
            if let Ok(allowed) = HeaderValue::from_str(&allowed) {
                answer.headers_mut().insert(header::ALLOW, allowed);
            }
            Err(answer)
        }
        None => Err(refuse(AppError::Forbidden {
            message: "nobody is allowed to use this path".to_owned(),
            hint: "this is a bug of the server: please report it with the path".to_owned(),
        })),
    }
}

/// Whether a caller may use a route.
async fn may(app: &App, who: Who, caller: &Caller, parts: &mut Parts) -> Result<bool, AppError> {
    if let Some(host) = &caller.host {
        return Ok(match who {
            Who::Anybody | Who::AnybodyHere => true,
            Who::OldClient | Who::Reader | Who::Submitter | Who::Admin | Who::Worker => false,
            Who::ReaderOrHost | Who::AdminOrHost => {
                parameter(parts, "name").await.as_deref() == Some(host.as_str())
            }
            Who::ReaderOrAssigned => {
                let number = parameter(parts, "number").await;
                match number.and_then(|number| number.parse().ok()) {
                    Some(number) => app.may_fetch(host, number).await?,
                    None => false,
                }
            }
        });
    }
    Ok(match (caller.role, who.role()) {
        (Role::Worker, _) => matches!(who, Who::Worker | Who::AnybodyHere),
        (_, Role::Worker) => false,
        (Role::Admin, _) => true,
        (Role::Submit, needed) => needed != Role::Admin,
        (Role::Read, needed) => needed == Role::Read,
        // Without a host there is nothing that it may do.
        (Role::Host, _) => false,
    })
}

/// A variable part of the path, decoded as handlers see it.
async fn parameter(parts: &mut Parts, name: &str) -> Option<String> {
    let parameters = parts.extract::<RawPathParams>().await.ok()?;
    parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

async fn refuse_role(
    app: &App,
    who: Who,
    caller: &Caller,
    method: &str,
    route: Option<&str>,
    parts: &Parts,
) -> Response {
    let needed = who.in_words();
    let path = parts.uri.path();
    tracing::warn!(caller = caller.actor(), method, path, needed, "refused");
    app.note_refusal(caller, method, route.unwrap_or_default(), path, &needed).await;
    let role = caller.role;
    let has = match &caller.host {
        Some(host) => format!("this is the token of the host {host}"),
        None => format!("the token has the role {role}"),
    };
    HttpError::from(AppError::Forbidden {
        message: format!("this needs {needed}; {has}"),
        hint: match (who, &caller.host) {
            (Who::ReaderOrHost | Who::AdminOrHost | Who::ReaderOrAssigned, Some(_)) => {
                "a host acts for itself only; on the server: elivepatch-server host list".to_owned()
            }
            (who, _) => {
                format!(
                    "on the server: elivepatch-server token create --role {}; give it with --token-file FILE",
                    who.role()
                )
            }
        },
    })
    .into_response()
}

/// The token that a request shows.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    // One that is no text, or another scheme, is a wrong token rather than none.
    let value = value.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or(("", value));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

/// Says in the log who came with a token that is not valid. Never the secret.
pub(crate) fn report_wrong_token(extensions: &Extensions, token: &str, error: &AppError) {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.to_string());
    let id = token.parse::<AccessToken>().map(|token| token.id().to_string());
    tracing::warn!(
        peer = peer.as_deref().unwrap_or("unknown"),
        token = id.as_deref().unwrap_or("not one of elivepatch"),
        "wrong token: {error}"
    );
}

/// Who sends the request, for handlers.
pub(crate) struct CalledBy(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for CalledBy {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, HttpError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let nobody = || AppError::Panicked("nobody asked who calls".to_owned());
        Ok(Self(caller.ok_or_else(nobody)?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use elivepatch_api::paths;

    use super::*;

    #[test]
    fn every_route_has_a_rule_and_every_rule_a_route() {
        let document = crate::openapi_document();
        let document = serde_json::to_value(document).expect("it has a JSON form");
        let paths_of = document["paths"].as_object().expect("an object");
        let mut routes: BTreeSet<(String, String)> = paths_of
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().expect("an object").keys();
                methods.map(|method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        assert!(routes.len() > 15, "{routes:?}");
        // The document does not describe itself.
        routes.insert(("GET".to_owned(), paths::OPENAPI.to_owned()));
        let rules: BTreeSet<_> = RULES
            .iter()
            // Nor what is there for old clients and for workers only; tests/api/v1/ and remote_workers.rs ask for each of
            // those routes.
            .filter(|(.., who)| !matches!(who, Who::OldClient | Who::Worker))
            .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(rules.len(), RULES.len() - 6 - 9, "a route with two rules");
        assert_eq!(routes, rules);
    }

    #[test]
    fn token_is_read_whatever_the_case_of_its_scheme() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().expect("a value"));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(bearer(&HeaderMap::new()), None);
        assert_eq!(read("Bearer elp_1").as_deref(), Some("elp_1"));
        assert_eq!(read("bearer  elp_1 ").as_deref(), Some("elp_1"));
        assert_eq!(read("Basic YTpi").as_deref(), Some(""), "a wrong one, not none");
        assert_eq!(read("elp_1").as_deref(), Some(""));
    }
}
