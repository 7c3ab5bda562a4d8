//! What the tests share: an app on a directory of its own, and ways to talk to it.

use std::sync::Arc;

use axum::{Router, body::Body};
use bytes::Bytes;
use camino::Utf8PathBuf;
use elivepatch_api::{
    BuildRequest, BuildSubmission, ClaimRequest, CompleteRequest, ErrorBody, ErrorCode, Lease,
    RebuildRequest,
    client::{Client, ClientError, LeaseClient, NamedPatch},
};
use elivepatch_model::{
    Architecture, BaseKind, BuildKey, BuildNumber, BuilderIdentity, Engine, Manifest, ModuleRecord,
    RebuildOf, RequestRecord, Sha256Digest, SourceIdentity, SourceRecord, TargetFacts,
    ToolchainRecord, TrialEvidence,
};
use elivepatch_server::{
    App, AppOptions, Reach, RouterTransport,
    app::{SecretKey, V1Options, generate_keys},
    config::V1Limits,
    public_router, worker_router,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use tempfile::TempDir;
use tower::ServiceExt;

pub const RELEASE: &str = "6.1.0-50-cloud-amd64";

/// A release whose kernels the server builds itself.
pub const BUILT_RELEASE: &str = "6.1.176-mine";

pub const CONFIG: &str = "#\n# Linux/x86 6.1.176 Kernel Configuration\n#\nCONFIG_X86_64=y\n\
    CONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\nCONFIG_FUNCTION_TRACER=y\nCONFIG_HAVE_FENTRY=y\n\
    CONFIG_KALLSYMS_ALL=y\nCONFIG_DEBUG_INFO=y\n";

pub const PATCH: &str = "--- a/fs/proc/meminfo.c\n+++ b/fs/proc/meminfo.c\n\
    @@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";

pub struct Server {
    pub app: App,
    pub client: Client,
    pub worker: Client,
    pub directory: Utf8PathBuf,
    _directory: TempDir,
}

/// What of a server's config is not as always.
pub struct Setup {
    pub queue_limit: u32,
    pub allow_unproven: bool,
    pub manifest_key: Option<Arc<SecretKey>>,
    pub v1: Option<V1Options>,
}

impl Default for Setup {
    /// A server that answers the REST API v1.0.
    fn default() -> Self {
        Self { queue_limit: 100, allow_unproven: false, manifest_key: None, v1: Some(V1) }
    }
}

/// As it is by default.
pub const V1: V1Options = V1Options { accept_unproven: false, limits: V1_LIMITS };

/// How much they get.
pub const V1_LIMITS: V1Limits =
    V1Limits { orders: Some(4), orders_per_day: Some(100), kernels_per_day: Some(4) };

impl Server {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with_queue_limit(queue_limit: u32) -> Self {
        Self::with(Setup { queue_limit, ..Setup::default() }).await
    }

    /// A server whose policy allows livepatches without proof.
    pub async fn that_allows_unproven() -> Self {
        Self::with(Setup { allow_unproven: true, ..Setup::default() }).await
    }

    /// A server that signs manifests.
    pub async fn that_signs() -> (Self, String) {
        let place = tempfile::tempdir().expect("a directory");
        let place = camino::Utf8Path::from_path(place.path()).expect("UTF-8");
        let secret = place.join("key");
        let (_, public) = generate_keys(&secret, &place.join("pub")).expect("keys");
        let manifest_key = Some(Arc::new(SecretKey::read(&secret).expect("a key")));
        (Self::with(Setup { manifest_key, ..Setup::default() }).await, public)
    }

    /// A server that does not answer the REST API v1.0.
    pub async fn without_v1() -> Self {
        Self::with(Setup { v1: None, ..Setup::default() }).await
    }

    /// A server that does, with these limits.
    pub async fn with_v1_limits(limits: V1Limits) -> Self {
        let v1 = V1Options { limits, ..V1 };
        Self::with(Setup { v1: Some(v1), ..Setup::default() }).await
    }

    pub async fn with(setup: Setup) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8PathBuf::try_from(temporary.path().to_owned()).expect("UTF-8");
        let app = App::open(AppOptions {
            data_directory: directory.clone(),
            queue_limit: setup.queue_limit,
            allow_unproven: setup.allow_unproven,
            feed: None,
            cve: elivepatch_server::app::CveOptions::default(),
            manifest_key: setup.manifest_key,
            inventories: None,
            host_report_seconds: 900,
            v1: setup.v1,
            builder_identity: builder_identity(),
        })
        .await
        .expect("an app");
        let client = |router| Client::new(Arc::new(RouterTransport::new(router)));
        Self {
            client: client(public_router(app.clone(), Reach::Loopback)),
            worker: client(worker_router(app.clone())),
            app,
            directory,
            _directory: temporary,
        }
    }

    pub fn public(&self) -> Router {
        public_router(self.app.clone(), Reach::Loopback)
    }

    /// Sends a request as it is to the public router.
    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.public().oneshot(request).await.expect("a router always answers")
    }

    pub async fn get(&self, path: &str) -> Response<Body> {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    pub async fn submit(&self, name: &str) -> BuildSubmission {
        self.try_submit(CONFIG, &[(name, PATCH)]).await.expect("submitted")
    }

    pub async fn try_submit(
        &self,
        config: &str,
        patches: &[(&str, &str)],
    ) -> Result<BuildSubmission, ClientError> {
        let patches: Vec<NamedPatch> = patches
            .iter()
            .map(|(name, text)| NamedPatch {
                name: (*name).to_owned(),
                content: Bytes::copy_from_slice(text.as_bytes()),
            })
            .collect();
        self.client.submit(&build_request(), config.as_bytes(), &patches).await
    }

    pub async fn claim(&self) -> (Lease, LeaseClient) {
        let lease = self.worker.claim(&claim_request(0)).await.expect("asked").expect("a build");
        let client = self.worker.leased(&lease);
        (lease, client)
    }

    /// The same of a build that may come yet.
    pub async fn claim_soon(&self) -> (Lease, LeaseClient) {
        let claimed = self.worker.claim(&claim_request(5)).await;
        let lease = claimed.expect("asked").expect("a build");
        let client = self.worker.leased(&lease);
        (lease, client)
    }

    /// Orders a build of its own, and finishes it with this module.
    pub async fn finished_build(&self, name: &str, module: &'static [u8]) -> BuildNumber {
        let build = self.submit(name).await.build.number;
        let (lease, client) = self.claim().await;
        assert_eq!(lease.build.number, build);
        client.upload_module(Bytes::from_static(module)).await.expect("uploaded");
        let manifest = manifest(lease.build.key, module);
        client.complete(&CompleteRequest { manifest }).await.expect("completed");
        build
    }

    /// Files of uploads and blobs.
    pub fn stored_files(&self) -> usize {
        fn count(directory: &std::path::Path) -> usize {
            std::fs::read_dir(directory)
                .expect("a directory")
                .map(|entry| entry.expect("an entry").path())
                .map(|path| if path.is_dir() { count(&path) } else { 1 })
                .sum()
        }
        count(self.directory.join("blobs").as_std_path())
    }
}

pub fn builder_identity() -> BuilderIdentity {
    BuilderIdentity {
        common: "test builder".to_owned(),
        sources: vec![SourceIdentity::Tree {
            release: BUILT_RELEASE.parse().expect("a release"),
            digest: Sha256Digest::of(b"a source tree"),
        }],
        rules: "header_objects 2000".to_owned(),
    }
}

pub fn build_request() -> BuildRequest {
    BuildRequest {
        target: TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64),
        checks: vec![],
        options: elivepatch_model::BuildOptions::default(),
    }
}

pub fn claim_request(wait_seconds: u32) -> ClaimRequest {
    ClaimRequest {
        worker: "worker-a".to_owned(),
        builder: builder_identity().stamp(),
        architectures: vec![Architecture::X86_64],
        warm_releases: vec![],
        wait_seconds,
    }
}

pub fn manifest(key: BuildKey, module: &[u8]) -> Manifest {
    Manifest {
        manifest_version: 2,
        build_key: key,
        built_at: "2026-11-23T12:00:00Z".parse().expect("a time"),
        release: RELEASE.parse().expect("a release"),
        architecture: Architecture::X86_64,
        build_id: "0123456789abcdef".parse().expect("a build-id"),
        config: Sha256Digest::of(b"config"),
        fixes: vec![],
        adaptations: vec![],
        source: SourceRecord {
            kind: "debian".to_owned(),
            version: "6.1.176-1".to_owned(),
            ..SourceRecord::default()
        },
        toolchain: ToolchainRecord {
            name: "debian-12-gcc-12".to_owned(),
            digest: Sha256Digest::of(b"toolchain"),
            compiler: "gcc".to_owned(),
        },
        base: BaseKind::Prepared,
        engine: Engine::Kpatch,
        functions: vec![],
        module: ModuleRecord {
            name: "livepatch".to_owned(),
            file_name: "live\"patch/.ko".to_owned(),
            digest: Sha256Digest::of(module),
            size_bytes: module.len() as u64,
            vermagic: "6.1".to_owned(),
            build_id: None,
            signature: None,
        },
        steps: vec![],
        trial: TrialEvidence {
            modules_loaded: vec![],
            modules_late: vec![],
            modules_absent: vec![],
            guest_release: RELEASE.parse().expect("a release"),
            kernel_image: Sha256Digest::of(b"image"),
            accelerator: "tcg".to_owned(),
            duration_seconds: 4.0,
            transition_seconds: 1.0,
            checks: vec![],
            replaced: None,
            signature: None,
            console_notes: vec![],
        },
        fit: None,
        branch_audit: None,
        builder_version: "0.1.0".to_owned(),
        builder: "test".to_owned(),
        request: None,
    }
}

pub async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The error of an answer, whose form and request id are checked on the way.
pub async fn api_error(response: Response<Body>) -> elivepatch_api::ApiError {
    let status = response.status();
    let id = response.headers().get("x-request-id").expect("a request id");
    let id = id.to_str().expect("text").to_owned();
    let body = text(response).await;
    let ErrorBody { error } = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
    assert_eq!(error.code.status(), status.as_u16());
    assert_eq!(error.request_id, id);
    assert!(!error.message.is_empty() && !error.hint.is_empty());
    error
}

/// The code of an answer that is an error.
pub fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ErrorCode {
    match result {
        Err(ClientError::Api { error, .. }) => error.code,
        other => panic!("no API error: {other:?}"),
    }
}

pub fn number(value: i64) -> BuildNumber {
    BuildNumber(value)
}

/// A part of a form: name, file name, content.
pub type FormPart<'a> = (&'a str, Option<&'a str>, &'a [u8]);

/// A multipart form with these parts.
pub fn form(parts: &[FormPart<'_>]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, file_name, content) in parts {
        let file = file_name.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
        body.extend_from_slice(
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n")
                .as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    Request::post("/api/v2/builds")
        .header("content-type", "multipart/form-data; boundary=B")
        .body(Body::from(body))
        .expect("a request")
}

/// What a manifest of this build would say, made from `source` by `builder`.
pub fn rebuild_of(
    submission: &BuildSubmission,
    source: SourceRecord,
    builder: &str,
) -> RebuildRequest {
    let build = &submission.build;
    let digest = Sha256Digest::of(b"x");
    let (name, compiler) = ("debian-12-gcc-12".to_owned(), "gcc".to_owned());
    RebuildRequest {
        build_key: build.key,
        fixes: build.fixes.clone(),
        request: RequestRecord {
            target: build.target.clone(),
            config_text: build.config,
            kallsyms: build.kallsyms,
            baseline: build.baseline.clone(),
            checks: build.checks.clone(),
            options: build.options.clone(),
        },
        rebuild: RebuildOf {
            module: digest,
            source,
            toolchain: ToolchainRecord { name, digest, compiler },
            builder: builder.to_owned(),
            anyway: false,
        },
    }
}
