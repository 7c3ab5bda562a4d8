//! What the double says of livepatches that were made before.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use elivepatch_model::{ElfBuildId, Sha256Digest};

use super::{Shared, SharedState, not_found};

pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v2/livepatches/{build_id}", get(livepatch))
        .route("/api/v2/builds/{number}/patches/{digest}", get(patch))
}

async fn livepatch(State(shared): SharedState, Path(build_id): Path<ElfBuildId>) -> Response {
    let live = shared.script.lock().expect("no panic").live.clone();
    let is_it = |module: Option<&ElfBuildId>| module == Some(&build_id);
    match live.filter(|live| is_it(live.manifest.module.build_id.as_ref())) {
        Some(live) => Json(live).into_response(),
        None => (StatusCode::NOT_FOUND, Json(not_found(0))).into_response(),
    }
}

async fn patch(
    State(shared): SharedState,
    Path((number, digest)): Path<(i64, Sha256Digest)>,
) -> Response {
    let script = shared.script.lock().expect("no panic");
    let is_it = |text: &&Bytes| Sha256Digest::of(text) == digest;
    match script.patches.iter().find(is_it) {
        Some(text) => text.clone().into_response(),
        None => (StatusCode::NOT_FOUND, Json(not_found(number))).into_response(),
    }
}
