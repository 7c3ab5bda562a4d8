//! A test double of the server: it speaks the API's types and does what a test's script says, down
//! to cut connections and wrong bytes. The real server is under test elsewhere, end to end.

mod cves;
mod fixtures;
mod live;
mod run;

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Multipart, Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use elivepatch_api::{
    BuildList, BuildResource, BuildSubmission, BuildSummary, ErrorBody, EventRecord,
    LivepatchResource, VersionResource,
};
use futures::{StreamExt, stream};

pub use self::{cves::*, fixtures::*, run::*};

/// One connection of a client that follows the build.
pub enum Connection {
    /// Sends events and closes the stream.
    Closes(Vec<EventRecord>),
    /// Sends events and cuts the connection.
    Cuts(Vec<EventRecord>),
    /// Sends events and then nothing more, as while a long step runs.
    Hangs(Vec<EventRecord>),
}

/// What the server does.
pub struct Script {
    /// The answer to a submission; `None`: the build.
    pub refusal: Option<(u16, ErrorBody)>,
    /// The build, as it is shown.
    pub build: BuildResource,
    /// The connections to the events, in their order.
    pub connections: VecDeque<Connection>,
    /// The manifest's text.
    pub manifest: String,
    /// The signature of that; `None`: the server signs none.
    pub signature: Option<String>,
    /// The module's bytes.
    pub module: Vec<u8>,
    /// So many downloads of the module are cut in the middle first.
    pub module_cuts: usize,
    /// What the server says of its builder.
    pub builder: String,
    /// What it has of CVEs.
    pub cves: CveScript,
    /// The livepatch that it has made before.
    pub live: Option<LivepatchResource>,
    /// The texts of fixes that it still has.
    pub patches: Vec<Bytes>,
}

/// What the server saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Name, file name and content of each part of the submission.
    pub parts: Vec<(String, Option<String>, Bytes)>,
    /// How often the module was asked for.
    pub modules: usize,
    /// The `Last-Event-ID` of each connection to the events.
    pub last_event_ids: Vec<Option<String>>,
    /// The requests for an assessment.
    pub assessments: Vec<serde_json::Value>,
}

/// What the handlers share.
pub struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Seen>,
}

/// The running double. It is gone when it is dropped, with all connections.
pub struct Double {
    /// Where it listens.
    pub url: String,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Double {
    /// Starts the double on a free loopback port.
    pub fn start(script: Script) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (script, seen) = (Mutex::new(script), Mutex::new(Seen::default()));
        let shared = Arc::new(Shared { script, seen });
        let router = Router::new()
            .route("/api/v2/builds", post(submit).get(list))
            .route("/api/v2/rebuilds", post(submit))
            .route("/api/v2/version", get(version))
            .route("/api/v2/builds/{number}", get(show))
            .route("/api/v2/builds/{number}/cancel", post(show))
            .route("/api/v2/builds/{number}/events", get(send_events))
            .route("/api/v2/builds/{number}/module", get(send_module))
            .route("/api/v2/builds/{number}/manifest", get(send_manifest))
            .route("/api/v2/builds/{number}/manifest.minisig", get(send_signature))
            .merge(cves::routes())
            .merge(live::routes())
            .with_state(Arc::clone(&shared));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("a free loopback port");
        let address = listener.local_addr().expect("a bound listener");
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url: format!("http://{address}"), shared, runtime: Some(runtime) }
    }

    /// What it saw so far.
    pub fn seen(&self) -> Seen {
        std::mem::take(&mut self.shared.seen.lock().expect("no panic"))
    }

    /// Does something else from now on.
    pub fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.shared.script.lock().expect("no panic"));
    }

    /// Goes away at once, as a killed server does.
    pub fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.die();
    }
}

type SharedState = State<Arc<Shared>>;

async fn read_parts(shared: &Shared, mut form: Multipart) {
    while let Some(field) = form.next_field().await.expect("a well-formed part") {
        let name = field.name().expect("a named part").to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let content = field.bytes().await.expect("a complete part");
        shared.seen.lock().expect("no panic").parts.push((name, file_name, content));
    }
}

async fn submit(State(shared): SharedState, form: Multipart) -> Response {
    read_parts(&shared, form).await;
    let script = shared.script.lock().expect("no panic");
    match &script.refusal {
        Some((status, body)) => {
            let status = StatusCode::from_u16(*status).expect("a status");
            (status, Json(body)).into_response()
        }
        None => {
            let submission = BuildSubmission { build: script.build.clone(), joined: false };
            (StatusCode::CREATED, Json(submission)).into_response()
        }
    }
}

async fn version(State(shared): SharedState) -> Json<VersionResource> {
    let builder = shared.script.lock().expect("no panic").builder.clone();
    let (name, version) = ("elivepatch".to_owned(), "0.1.0".to_owned());
    Json(VersionResource { name, version, builder, api: vec!["v2".to_owned()] })
}

async fn list(State(shared): SharedState) -> Json<BuildList> {
    let build = shared.script.lock().expect("no panic").build.clone();
    let summary = BuildSummary {
        number: build.number,
        key: build.key,
        state: build.state,
        release: build.target.release,
        fixes: build.fixes.into_iter().map(|fix| fix.name).collect(),
        attempts: build.attempts,
        submitted_at: build.submitted_at,
        started_at: build.started_at,
        finished_at: build.finished_at,
        failure: None,
    };
    Json(BuildList { builds: vec![summary], next: None })
}

async fn show(State(shared): SharedState, Path(number): Path<i64>) -> Response {
    let build = shared.script.lock().expect("no panic").build.clone();
    if build.number.0 == number {
        Json(build).into_response()
    } else {
        (StatusCode::NOT_FOUND, Json(not_found(number))).into_response()
    }
}

async fn send_events(State(shared): SharedState, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").map(|id| id.to_str().expect("text").to_owned());
    shared.seen.lock().expect("no panic").last_event_ids.push(last);
    let connection = shared.script.lock().expect("no panic").connections.pop_front();
    let body = match connection.unwrap_or(Connection::Closes(Vec::new())) {
        Connection::Closes(events) => Body::from_stream(texts(events)),
        Connection::Cuts(events) => {
            // A pause, so that what was sent leaves the machine before the connection is reset.
            let cut = stream::once(async {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                Err::<String, _>(std::io::Error::other("cut by the script"))
            });
            Body::from_stream(texts(events).map(|text| Ok(text.expect("infallible"))).chain(cut))
        }
        Connection::Hangs(events) => Body::from_stream(texts(events).chain(stream::pending())),
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn texts(events: Vec<EventRecord>) -> impl stream::Stream<Item = Result<String, Infallible>> {
    stream::iter(events).map(|record| {
        let data = serde_json::to_string(&record).expect("plain data");
        Ok(format!(": sign of life\n\nid: {}\ndata: {data}\n\n", record.sequence))
    })
}

async fn send_module(State(shared): SharedState) -> Body {
    shared.seen.lock().expect("no panic").modules += 1;
    let mut script = shared.script.lock().expect("no panic");
    let module = script.module.clone();
    if script.module_cuts == 0 {
        return Body::from(module);
    }
    script.module_cuts -= 1;
    let half = Ok(module[..module.len() / 2].to_vec());
    Body::from_stream(stream::iter([half, Err(std::io::Error::other("cut by the script"))]))
}

async fn send_manifest(State(shared): SharedState) -> String {
    shared.script.lock().expect("no panic").manifest.clone()
}

async fn send_signature(State(shared): SharedState) -> Response {
    match shared.script.lock().expect("no panic").signature.clone() {
        Some(signature) => signature.into_response(),
        None => (StatusCode::NOT_FOUND, Json(not_found(7))).into_response(),
    }
}
