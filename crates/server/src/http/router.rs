use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request},
    middleware,
    routing::{get, post, put},
};
use elivepatch_api::{paths, v1 as paths_v1};
use elivepatch_model::limits;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    HttpError,
    access::authorise,
    error::{answer_errors, answer_panic},
    openapi,
    origin::{Reach, refuse_other_sites},
};
use crate::{
    App, AppError,
    app::Caller,
    handlers::{
        artifacts, assessments, assignments, audit, builds, enrolments, events, exposure, holds,
        hosts, lease, rebuilds, runs, service, v1, withdrawals,
    },
};

/// The largest JSON body, in bytes. A manifest with 16 checks of three outputs each at 64 KiB has
/// 3 MB.
pub(super) const JSON_BODY_BYTES: usize = 16 * 1024 * 1024;

/// The largest report of a host, in bytes. One with 2048 loaded modules and 256 livepatches, and all other
/// texts at their limits, has some 250 kB.
pub(super) const REPORT_BYTES: usize = 512 * 1024;

/// The largest submission, in bytes: each part at its limit, and the form around them.
pub(super) const SUBMISSION_BYTES: usize = (limits::REQUEST_BYTES
    + limits::CONFIG_BYTES
    + limits::KALLSYMS_PACKED_BYTES
    + limits::BASELINE_BYTES
    + limits::BASELINE_PATCHES as u64 * 4096
    + limits::PATCHES as u64 * (limits::PATCH_BYTES + 4096))
    as usize;

/// The API for clients that come from where `reach` says.
pub fn public_router(app: App, reach: Reach) -> Router {
    let (router, document) = public_routes().split_for_parts();
    let router = router.route(
        paths::OPENAPI,
        get(move || {
            let document = document.clone();
            async move { axum::Json(document) }
        }),
    );
    let router = router.merge(v1_routes()).merge(worker_routes());
    let other_sites = move |request, next| refuse_other_sites(reach, request, next);
    let asked = app.clone();
    let access = move |request, next| authorise(asked.clone(), reach, request, next);
    finish(router, app, |router| {
        router.layer(middleware::from_fn(access)).layer(middleware::from_fn(other_sites))
    })
}

/// The REST API v1.0. It is not in the OpenAPI document: nobody should write a client for it.
fn v1_routes() -> Router<App> {
    let get_files = post(v1::get_files).get(v1::not_the_patches);
    Router::new()
        .route(paths_v1::GET_FILES, get_files)
        .layer(DefaultBodyLimit::max(SUBMISSION_BYTES))
        .route(paths_v1::ROOT, get(v1::agent))
        .route(paths_v1::AGENT, get(v1::agent))
        .route(paths_v1::SEND_LIVEPATCH, get(v1::send_livepatch).post(v1::not_the_patches))
}

pub(super) fn public_routes() -> OpenApiRouter<App> {
    let submit = OpenApiRouter::new()
        .routes(routes!(builds::submit, builds::list))
        .routes(routes!(rebuilds::submit))
        .routes(routes!(runs::start, runs::list))
        .layer(DefaultBodyLimit::max(SUBMISSION_BYTES));
    let enrol = OpenApiRouter::new()
        .routes(routes!(enrolments::enrol))
        // Of a report it has the largest part; anybody may send one.
        .layer(DefaultBodyLimit::max(REPORT_BYTES));
    let report = OpenApiRouter::new()
        .routes(routes!(hosts::report))
        .layer(DefaultBodyLimit::max(REPORT_BYTES));
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(submit)
        .merge(enrol)
        .routes(routes!(builds::show))
        .routes(routes!(builds::cancel))
        .routes(routes!(events::follow))
        .routes(routes!(artifacts::module))
        .routes(routes!(artifacts::manifest))
        .routes(routes!(artifacts::patch))
        .routes(routes!(artifacts::livepatch))
        .routes(routes!(artifacts::manifest_signature))
        .routes(routes!(assessments::assess))
        .routes(routes!(runs::show))
        .routes(routes!(runs::cancel))
        .routes(routes!(audit::list))
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::show, hosts::forget))
        .merge(report)
        .routes(routes!(hosts::tag))
        .routes(routes!(holds::list))
        .routes(routes!(holds::hold_host, holds::release_host))
        .routes(routes!(holds::hold_tag, holds::release_tag))
        .routes(routes!(holds::hold_all, holds::release_all))
        .routes(routes!(assignments::list, assignments::assign))
        .routes(routes!(assignments::unassign))
        .routes(routes!(withdrawals::list, withdrawals::withdraw))
        .routes(routes!(withdrawals::allow))
        .routes(routes!(exposure::show))
        .routes(routes!(service::health))
        .routes(routes!(service::version))
}

/// The lease protocol for the workers inside the process, which need no token.
pub fn worker_router(app: App) -> Router {
    let inside = Extension(Caller::worker_inside());
    finish(worker_routes(), app, |router| router.layer(inside))
}

/// The lease protocol. It is not in the OpenAPI document: server and workers are of the same version.
fn worker_routes() -> Router<App> {
    let build = |rest: &str| format!("/worker/v2/builds/{{number}}/{rest}");
    Router::new()
        .route(paths::LEASES, post(lease::claim))
        .route(&build("heartbeat"), post(lease::heartbeat))
        .route(&build("events"), post(lease::events))
        .route(&build("module"), put(lease::module))
        .route(&build("complete"), post(lease::complete))
        .route(&build("complete-probe"), post(lease::complete_probe))
        .route(&build("fail"), post(lease::fail))
        .route(&build("release"), post(lease::release))
        .route(&build("blobs/{digest}"), get(lease::blob))
}

/// Adds what all routers have; `guard` is asked before anything but the form of errors.
fn finish(router: Router<App>, app: App, guard: impl FnOnce(Router<App>) -> Router<App>) -> Router {
    let router = router
        .fallback(async || HttpError::from(AppError::NoSuchPath))
        .method_not_allowed_fallback(async |request: Request| {
            HttpError::from(AppError::MethodNotAllowed(request.method().to_string()))
        });
    guard(router)
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(middleware::from_fn(answer_errors))
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES))
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use elivepatch_api::{ErrorBody, ErrorCode};
    use tower::ServiceExt;

    use super::*;
    use crate::AppOptions;

    #[tokio::test]
    async fn panic_in_a_handler_is_an_internal_error_without_its_message() {
        let directory = tempfile::tempdir().expect("a directory");
        let app = App::open(AppOptions {
            data_directory: directory.path().to_owned().try_into().expect("UTF-8"),
            queue_limit: 1,
            allow_unproven: false,
            feed: None,
            cve: crate::app::CveOptions::default(),
            manifest_key: None,
            inventories: None,
            host_report_seconds: 900,
            v1: None,
            builder_identity: elivepatch_model::BuilderIdentity::default(),
        });
        let secret = async || -> () { panic!("the secret of line 7") };
        let router =
            finish(Router::new().route("/", get(secret)), app.await.expect("an app"), |router| {
                router
            });
        let request = Request::get("/").body(Body::empty()).expect("a request");
        let answer = router.oneshot(request).await.expect("answered");
        assert_eq!(answer.status(), 500);
        let body = to_bytes(answer.into_body(), 9999).await.expect("a body");
        let ErrorBody { error } = serde_json::from_slice(&body).expect("an error");
        assert_eq!(error.code, ErrorCode::Internal);
        assert!(!error.message.contains("secret"), "{error:?}");
    }
}
