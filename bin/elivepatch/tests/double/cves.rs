//! CVE runs and assessments, as a server shows them.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Multipart, Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use elivepatch_api::{AssessmentResource, RunResource, RunState, RunSubmission};
use elivepatch_model::Sha256Digest;
use serde_json::{Value, json};

use super::{PATCH, RELEASE, Shared, SharedState, not_found, read_parts};

/// What the server has of CVEs.
#[derive(Debug, Clone)]
pub struct CveScript {
    /// The run at each look, the last one ever after. The first one answers the submission.
    pub looks: Vec<RunResource>,
    /// So many looks are done.
    pub looked: usize,
    /// Whether a submission joins an equal run.
    pub joined: bool,
    /// The answer to an assessment.
    pub assessment: AssessmentResource,
}

impl CveScript {
    /// A run that is finished at once.
    pub fn finished() -> Self {
        Self { looks: vec![run()], looked: 0, joined: false, assessment: assessment() }
    }

    /// A run that goes on for some looks.
    pub fn going_on() -> Self {
        let at = |state, tried, counts| RunResource {
            state,
            tried,
            counts: serde_json::from_value(counts).expect("counts"),
            activity: Some("CVE-2026-1001: compile".to_owned()),
            finished_at: None,
            livepatch: None,
            ..run()
        };
        let trying = json!({"waiting": 3, "needs-approval": 1, "no-fix": 1, "not-built": 254});
        let combining = json!({"livepatch": 1, "not-patchable": 2, "not-built": 254});
        let looks =
            vec![at(RunState::Trying, 1, trying), at(RunState::Combining, 3, combining), run()];
        Self { looks, ..Self::finished() }
    }

    /// Changes the finished run.
    pub fn with(mut self, change: impl Fn(&mut RunResource)) -> Self {
        change(self.looks.last_mut().expect("a run"));
        self
    }

    fn look(&mut self) -> RunResource {
        let last = self.looks.len() - 1;
        let run = self.looks[self.looked.min(last)].clone();
        self.looked += 1;
        run
    }
}

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v2/assessments", post(assess))
        .route("/api/v2/cve-runs", post(start))
        .route("/api/v2/cve-runs/{number}", get(show))
        .route("/api/v2/cve-runs/{number}/cancel", post(cancel))
}

async fn start(State(shared): SharedState, form: Multipart) -> Response {
    read_parts(&shared, form).await;
    let mut script = shared.script.lock().expect("no panic");
    if let Some((status, body)) = &script.refusal {
        let status = StatusCode::from_u16(*status).expect("a status");
        return (status, Json(body)).into_response();
    }
    let joined = script.cves.joined;
    let run = RunResource { cves: Vec::new(), ..script.cves.look() };
    (StatusCode::CREATED, Json(RunSubmission { run, joined })).into_response()
}

async fn show(
    State(shared): SharedState,
    Path(number): Path<i64>,
    Query(query): Query<std::collections::HashMap<String, String>>,
) -> Response {
    let mut run = shared.script.lock().expect("no panic").cves.look();
    if run.number.0 != number {
        return (StatusCode::NOT_FOUND, Json(not_found(number))).into_response();
    }
    if query.get("cves").is_some_and(|cves| cves == "false") {
        run.cves.clear();
    }
    Json(run).into_response()
}

async fn cancel(State(shared): SharedState, Path(_): Path<i64>) -> Json<RunResource> {
    let run = shared.script.lock().expect("no panic").cves.look();
    Json(RunResource { state: RunState::Cancelled, ..run })
}

async fn assess(
    State(shared): SharedState,
    Json(request): Json<Value>,
) -> Json<AssessmentResource> {
    shared.seen.lock().expect("no panic").assessments.push(request.clone());
    let mut answer = shared.script.lock().expect("no panic").cves.assessment.clone();
    let asked = request["explain"].as_array().cloned().unwrap_or_default();
    for cve in &mut answer.cves {
        let is_asked = asked.iter().any(|id| *id == cve.id.to_string());
        cve.description = is_asked.then(|| "All of it.\nIn two lines.".to_owned());
    }
    Json(answer)
}

fn candidate(fixes: Value) -> Value {
    json!({"verdict": "candidate", "parents": ["vmlinux"], "fixes": fixes})
}

fn branch(version: &str) -> Value {
    json!({"own-branch": [{"version": version, "hash": "ab".repeat(20)}]})
}

/// The finished run: of each kind one CVE, and two that need a reboot.
pub fn run() -> RunResource {
    let failure = |class: &str, message: &str| json!({"class": class, "message": message, "hint": "boot a newer kernel", "details": []});
    let fix = json!({
        "commit": "ab".repeat(20), "version": "6.1.177", "digest": Sha256Digest::of(PATCH),
        "source": "the clone",
    });
    serde_json::from_value(json!({
        "number": 3, "state": "finished",
        "target": {"release": RELEASE, "architecture": "x86_64"},
        "selection": {},
        "grounds": {
            "linux_version": "6.1.176", "version_origin": "the base's source",
            "is_upper_bound": false, "base": "6.1.0-50-91477d87e345",
            "feed_data_at": "2026-08-21T00:00:00Z", "feed_read_at": "2026-08-22T00:00:00Z",
            "feed_is_stale": false, "faulty": 0,
        },
        "to_try": 3, "tried": 3,
        "counts": {
            "livepatch": 1, "not-patchable": 2, "needs-approval": 1, "no-fix": 1, "not-built": 254,
            "already-fixed": 9000,
        },
        "cves": [
            {
                "id": "CVE-2026-1001", "title": "keys: fix an overflow in the length of parameters",
                "cvss": {"score": 9.8, "vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},
                "applicability": candidate(branch("6.1.177")),
                "outcome": {"verdict": "livepatch", "functions": [
                    {"object": "vmlinux", "name": "keyctl_pkey_params_get_2"}
                ]},
                "fixes": [fix], "probe": 5, "probe_seconds": 9,
            },
            {
                "id": "CVE-2026-1002", "title": "net: grow a structure",
                "applicability": candidate(branch("6.1.183")),
                "outcome": {"verdict": "not-patchable", "failure": failure(
                    "data-structure-changed", "struct sock has another size after the patch"
                )},
            },
            {
                "id": "CVE-2026-1003", "title": "mm: init it right",
                "cvss": {"score": 7.1, "vector": "CVSS:3.1/AV:L"},
                "applicability": candidate(branch("6.1.180")),
                "outcome": {"verdict": "not-patchable", "failure": failure(
                    "init-code", "the fix changes code that runs at boot only"
                )},
            },
            {
                "id": "CVE-2026-1004", "title": "fs: only mainline has it",
                "cvss": {"score": 5.5, "vector": "CVSS:3.1/AV:L"},
                "applicability": candidate(json!({
                    "mainline-only": [{"version": "6.5", "hash": "cd".repeat(20)}]
                })),
                "outcome": {"verdict": "needs-approval"},
            },
            {
                "id": "CVE-2026-1005", "title": "usb: nobody has a fix",
                "cvss": {"score": 3.0, "vector": "CVSS:3.1/AV:P"},
                "applicability": candidate(json!("none")),
                "outcome": {"verdict": "no-fix"},
            },
            {
                "id": "CVE-2026-1006", "title": "drm: other hardware",
                "applicability": {
                    "verdict": "not-built", "files": ["drivers/gpu/drm/x.c"],
                    "left_out": [{
                        "file": "drivers/gpu/drm/x.c", "options": ["CONFIG_DRM_X"],
                        "object": "drivers/gpu/drm/x.o",
                    }],
                },
            },
        ],
        "livepatch": 7, "outcome_digest": Sha256Digest::of(b"one"),
        "submitted_at": "2026-11-23T10:00:00Z", "finished_at": "2026-11-23T10:05:00Z",
    }))
    .expect("a run")
}

/// The same CVEs before anything is tried.
pub fn assessment() -> AssessmentResource {
    let run = serde_json::to_value(run()).expect("plain data");
    let cves = run["cves"].as_array().expect("a list").iter().map(|cve| {
        json!({
            "id": cve["id"], "title": cve["title"], "cvss": cve["cvss"],
            "program_files": ["security/keys/keyctl_pkey.c"], "applicability": cve["applicability"],
        })
    });
    let grounds = run["grounds"].as_object().expect("an object");
    let mut answer = json!({
        "counts": {
            "candidate": 3, "mainline-only": 1, "no-fix": 1, "not-built": 254,
            "already-fixed": 9000,
        },
        "cves": cves.collect::<Vec<_>>(),
    });
    answer.as_object_mut().expect("an object").extend(grounds.clone());
    serde_json::from_value(answer).expect("an assessment")
}
