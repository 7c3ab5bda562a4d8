//! The worker against a real server app, over the real protocol, with a scripted builder: a test
//! double, since a real build takes a kernel's packages and minutes. The end-to-end tests run the
//! real one.

mod remote;
mod runs;
mod side_by_side;

use std::{io::Write, sync::Arc, time::Duration};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_api::{
    BuildRequest, BuildResource,
    client::{Client, ClientError, NamedPatch, RequestTexts},
};
use elivepatch_builder::{
    BuildOrder, FinishedBuild, HousekeepingError, InventoryError, KernelInventory, Observer, Swept,
};
use elivepatch_model::{
    Architecture, BaseKind, BuildEvent, BuildNumber, BuildState, BuilderIdentity, Engine, Failure,
    FailureClass, FitRecord, KernelRelease, Manifest, ModuleRecord, ProbeRecord, Sha256Digest,
    SourceIdentity, SourceRecord, StepName, TargetFacts, ToolchainRecord, TrialEvidence,
};
use elivepatch_server::{
    App, AppOptions, Reach, RouterTransport, WorkerEnd,
    app::{ChoreRunner, CveOptions},
    public_router, worker_router,
};
use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Pool, WorkerName, release};
use crate::runner::BuildRunner;

const RELEASE: &str = "6.1.0-50-cloud-amd64";
const CONFIG: &str = "CONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\n\
    CONFIG_FUNCTION_TRACER=y\nCONFIG_HAVE_FENTRY=y\nCONFIG_KALLSYMS_ALL=y\nCONFIG_DEBUG_INFO=y\n";
const PATCH: &str = "--- a/fs/proc/meminfo.c\n+++ b/fs/proc/meminfo.c\n\
    @@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";

/// A builder of a kernel that is built here: then its symbols are wanted.
fn identity() -> BuilderIdentity {
    BuilderIdentity {
        sources: vec![SourceIdentity::Tree {
            release: RELEASE.parse().expect("a release"),
            digest: Sha256Digest::of(b"source"),
        }],
        ..BuilderIdentity::default()
    }
}

/// Does what the test says instead of building.
struct Script<F> {
    does: F,
    identity: BuilderIdentity,
}

impl<F> Script<F> {
    fn new(does: F) -> Self {
        Self { does, identity: identity() }
    }
}

impl<F> BuildRunner for Script<F>
where
    F: Fn(&BuildOrder, &dyn Observer, &Utf8Path) -> Result<FinishedBuild, Failure> + Send + Sync,
{
    fn identity(&self) -> BuilderIdentity {
        self.identity.clone()
    }

    fn warm_releases(&self) -> Vec<String> {
        vec![]
    }

    fn signing_problem(&self) -> Option<Failure> {
        None
    }

    fn unusable_sources(&self) -> Vec<(String, Failure)> {
        vec![]
    }

    fn inventory(&self, _: &TargetFacts) -> Result<Option<KernelInventory>, InventoryError> {
        Ok(None)
    }

    fn sweep(&self) -> Result<Swept, HousekeepingError> {
        unreachable!("workers do not clean the cache")
    }

    fn describe(&self) -> Vec<String> {
        vec![]
    }

    fn build(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<FinishedBuild, Failure> {
        (self.does)(order, observer, work)
    }

    fn probe(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<ProbeRecord, Failure> {
        let Manifest { engine, functions, .. } = (self.does)(order, observer, work)?.manifest;
        let (adaptations, fit) = (Vec::new(), FitRecord::default());
        Ok(ProbeRecord { engine, functions, adaptations, fit })
    }

    fn stock_config(&self, _: &KernelRelease) -> Result<Vec<u8>, Failure> {
        Ok(CONFIG.as_bytes().to_vec())
    }

    fn stock_releases(&self, _: &KernelRelease) -> Result<Vec<KernelRelease>, Failure> {
        Ok(vec![RELEASE.parse().expect("a release")])
    }
}

struct Fixture {
    app: App,
    client: Client,
    stop: CancellationToken,
    workers: JoinSet<Option<ClientError>>,
    work_directory: Utf8PathBuf,
    _chores: ChoreRunner,
    _directory: Option<TempDir>,
}

impl Fixture {
    async fn new<F>(script: F) -> Self
    where
        F: Fn(&BuildOrder, &dyn Observer, &Utf8Path) -> Result<FinishedBuild, Failure>
            + Send
            + Sync
            + 'static,
    {
        Self::with_workers(1, script).await
    }

    async fn with_workers<F>(workers: u32, script: F) -> Self
    where
        F: Fn(&BuildOrder, &dyn Observer, &Utf8Path) -> Result<FinishedBuild, Failure>
            + Send
            + Sync
            + 'static,
    {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8PathBuf::try_from(temporary.path().to_owned()).expect("UTF-8");
        let fixture = Self::in_directory(directory, CveOptions::default(), workers, script).await;
        Self { _directory: Some(temporary), ..fixture }
    }

    /// In a data directory that outlives it.
    async fn in_directory<F>(
        directory: Utf8PathBuf,
        cve: CveOptions,
        workers: u32,
        script: F,
    ) -> Self
    where
        F: Fn(&BuildOrder, &dyn Observer, &Utf8Path) -> Result<FinishedBuild, Failure>
            + Send
            + Sync
            + 'static,
    {
        let work_directory = directory.join("work");
        std::fs::create_dir_all(&work_directory).expect("made");
        let app = App::open(AppOptions {
            data_directory: directory,
            queue_limit: 99,
            allow_unproven: true,
            feed: None,
            manifest_key: None,
            inventories: None,
            host_report_seconds: 900,
            v1: None,
            cve,
            builder_identity: identity(),
        })
        .await
        .expect("an app");
        // As a server does at its start.
        release(&app, WorkerEnd::Stopped).await.expect("released");
        let chores = app.start_chores();
        let client = |router| Client::new(Arc::new(RouterTransport::new(router)));
        let stop = CancellationToken::new();
        let pool = Pool {
            client: client(worker_router(app.clone())),
            runner: Arc::new(Script::new(script)),
            name: WorkerName::Inside,
            work_directory: work_directory.clone(),
            stop: stop.clone(),
        };
        Self {
            client: client(public_router(app.clone(), Reach::Loopback)),
            workers: pool.start(workers),
            app,
            stop,
            work_directory,
            _chores: chores,
            _directory: None,
        }
    }

    async fn submit(&self) -> BuildNumber {
        self.submit_patch(PATCH).await
    }

    async fn submit_patch(&self, text: &str) -> BuildNumber {
        let request = BuildRequest {
            target: TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64),
            checks: vec![],
            options: elivepatch_model::BuildOptions::default(),
        };
        let patch = NamedPatch {
            name: "a.patch".to_owned(),
            content: Bytes::copy_from_slice(text.as_bytes()),
        };
        let sent = self.client.submit(&request, CONFIG.as_bytes(), &[patch]).await;
        sent.expect("submitted").build.number
    }

    /// Waits until the build satisfies `condition`; a minute at most.
    async fn until(
        &self,
        number: BuildNumber,
        condition: impl Fn(&BuildResource) -> bool,
    ) -> BuildResource {
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            let build = self.client.build(number).await.expect("there");
            if condition(&build) {
                return build;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in a minute: {:?}", self.client.build(number).await);
    }

    async fn log_lines(&self, number: BuildNumber) -> Vec<String> {
        use futures::StreamExt;
        let events = self.client.events(number, 0).await.expect("a stream");
        let events: Vec<_> = events.collect().await;
        let line = |event: elivepatch_api::EventRecord| match event.event {
            BuildEvent::Log { line, .. } => Some(line),
            _ => None,
        };
        events.into_iter().filter_map(|event| line(event.expect("readable"))).collect()
    }

    async fn stopped(self) {
        self.app.stop();
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), self.workers.join_all()).await;
        ended.expect("the workers stop in time");
    }
}

fn log(line: &str) -> BuildEvent {
    BuildEvent::Log { step: StepName::Compile, line: line.to_owned() }
}

/// Waits for the cancellation, as a build does that is under way.
fn wait_for_cancel(observer: &dyn Observer) {
    for _ in 0..1000 {
        if observer.is_cancelled() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn build_gets_its_texts_and_ends_with_module_manifest_and_log() {
    let fixture = Fixture::new(|order, observer, work| {
        assert_eq!(order.config, CONFIG.as_bytes());
        assert_eq!(order.fixes[0].text, PATCH.as_bytes());
        for index in 0..300 {
            observer.event(log(&index.to_string()));
        }
        let module = work.join("livepatch.ko");
        std::fs::write(&module, "module").expect("written");
        Ok(FinishedBuild { manifest: manifest(order), module })
    })
    .await;
    let number = fixture.submit().await;
    let build = fixture.until(number, |build| build.state.is_finished()).await;
    assert_eq!(build.state, BuildState::Succeeded, "{build:?}");
    let publish = build.steps.last().expect("a step");
    assert_eq!((publish.name, publish.summary.as_deref()), (StepName::Publish, Some("6 bytes")));
    let expected: Vec<String> = (0..300).map(|index| index.to_string()).collect();
    assert_eq!(fixture.log_lines(number).await, expected, "every line, in order");
    fixture.client.module(number).await.expect("a module");
    let left = std::fs::read_dir(&fixture.work_directory).expect("a directory").count();
    assert_eq!(left, 0, "work directories are removed");
    fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn build_gets_what_is_known_of_the_running_kernel() {
    let baseline = |name: &str| NamedPatch {
        name: name.to_owned(),
        content: PATCH.replace("TWO", name).into_bytes().into(),
    };
    let fixture = Fixture::new(|order, _, _| {
        assert_eq!(order.kallsyms.as_deref(), Some(&b"0 T _text\n40 t start\n"[..]));
        assert!(order.accept_unproven);
        let names: Vec<&str> = order.baseline.iter().map(|patch| patch.name.as_str()).collect();
        assert_eq!(names, ["b.patch", "a.patch"]);
        assert!(order.baseline[1].text.ends_with(b"+a.patch\n three\n"));
        Err(Failure::new(FailureClass::CompileFailed, "all is there", "go on"))
    })
    .await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"ffffffff81000000 T _text\nffffffff81000040 t start\n").expect("memory");
    let symbols = encoder.finish().expect("memory");
    let target = TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64);
    let options = elivepatch_model::BuildOptions {
        accept_unproven: true,
        ..elivepatch_model::BuildOptions::default()
    };
    let request = BuildRequest { target, checks: vec![], options };
    let (both, fix) = ([baseline("b.patch"), baseline("a.patch")], [baseline("fix.patch")]);
    let texts = RequestTexts {
        config: Some(CONFIG.as_bytes()),
        kallsyms: Some(&symbols),
        baseline: &both,
        patches: &fix,
    };
    let sent = fixture.client.submit_texts(&request, &texts).await.expect("submitted");
    let build = fixture.until(sent.build.number, |build| build.state.is_finished()).await;
    let failure = build.failure.expect("a failure");
    assert_eq!(failure.class, FailureClass::CompileFailed, "{failure}");
    fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_and_panic_of_the_builder_reach_the_client() {
    let fixture = Fixture::new(|_, observer, _| {
        observer.event(log("error: no such field"));
        Err(Failure::new(FailureClass::CompileFailed, "no such field", "correct it"))
    })
    .await;
    let number = fixture.submit().await;
    let build = fixture.until(number, |build| build.state.is_finished()).await;
    assert_eq!(build.failure.expect("a failure").class, FailureClass::CompileFailed);
    assert_eq!(fixture.log_lines(number).await, ["error: no such field"]);
    fixture.stopped().await;

    let fixture = Fixture::new(|_, _, _| panic!("out of cheese")).await;
    let number = fixture.submit().await;
    // A bug is the machine's fault: the build goes back to the queue and says why.
    let build = fixture.until(number, |build| build.attempts == 1).await;
    assert_ne!(build.state, BuildState::Succeeded);
    fixture.until(number, |build| build.state == BuildState::Queued).await;
    fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcome_that_the_server_refuses_ends_the_attempt_with_its_reason() {
    let fixture = Fixture::new(|order, _, work| {
        let module = work.join("livepatch.ko");
        std::fs::write(&module, "another module").expect("written");
        Ok(FinishedBuild { manifest: manifest(order), module })
    })
    .await;
    let number = fixture.submit().await;
    fixture.until(number, |build| build.attempts == 1).await;
    fixture.until(number, |build| build.state == BuildState::Queued).await;
    let first_events = fixture.client.events(number, 0).await.expect("a stream");
    use futures::StreamExt;
    let refused = first_events.filter_map(|event| async {
        match event.expect("readable").event {
            BuildEvent::State { failure: Some(failure), .. } => Some(failure),
            _ => None,
        }
    });
    let failure = std::pin::pin!(refused).next().await.expect("a failure");
    assert_eq!(failure.class, FailureClass::Internal);
    assert!(failure.message.contains("no module with the digest"), "{failure:?}");
    fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_build_stops_and_the_worker_goes_on_with_the_next() {
    let fixture = Fixture::new(|_, observer, _| {
        wait_for_cancel(observer);
        Err(Failure::new(FailureClass::Internal, "cancelled", "none"))
    })
    .await;
    let first = fixture.submit().await;
    fixture.until(first, |build| build.state == BuildState::Running).await;
    fixture.client.cancel(first).await.expect("cancelled");
    let second = fixture.submit().await;
    assert_ne!(first, second);
    fixture.until(second, |build| build.state == BuildState::Running).await;
    let build = fixture.client.build(first).await.expect("there");
    assert_eq!((build.state, build.failure), (BuildState::Cancelled, None));
    fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_is_stopped_leaves_its_build_to_be_queued_again() {
    let fixture = Fixture::new(|_, observer, _| {
        wait_for_cancel(observer);
        Err(Failure::new(FailureClass::CompileFailed, "cut off", "none"))
    })
    .await;
    let number = fixture.submit().await;
    fixture.until(number, |build| build.state == BuildState::Running).await;
    let (app, client) = (fixture.app.clone(), fixture.client.clone());
    fixture.stopped().await;
    release(&app, WorkerEnd::Stopped).await.expect("released");
    let build = client.build(number).await.expect("there");
    assert_eq!((build.state, build.failure), (BuildState::Queued, None));
}

fn manifest(order: &BuildOrder) -> Manifest {
    Manifest {
        manifest_version: 2,
        build_key: order.key,
        built_at: "2026-11-23T12:00:00Z".parse().expect("a time"),
        release: order.target.release.clone(),
        architecture: Architecture::X86_64,
        build_id: "0123456789abcdef".parse().expect("a build-id"),
        config: Sha256Digest::of(&order.config),
        fixes: vec![],
        adaptations: vec![],
        source: SourceRecord {
            kind: "debian".to_owned(),
            version: "1".to_owned(),
            ..SourceRecord::default()
        },
        toolchain: ToolchainRecord {
            name: "none".to_owned(),
            digest: Sha256Digest::of(b""),
            compiler: "none".to_owned(),
        },
        base: BaseKind::Prepared,
        engine: Engine::Kpatch,
        functions: vec![],
        module: ModuleRecord {
            name: "livepatch".to_owned(),
            file_name: "livepatch.ko".to_owned(),
            digest: Sha256Digest::of(b"module"),
            size_bytes: 6,
            vermagic: "6.1".to_owned(),
            build_id: None,
            signature: None,
        },
        steps: vec![],
        fit: None,
        branch_audit: None,
        trial: TrialEvidence {
            modules_loaded: vec![],
            modules_late: vec![],
            modules_absent: vec![],
            guest_release: order.target.release.clone(),
            kernel_image: Sha256Digest::of(b""),
            accelerator: "tcg".to_owned(),
            duration_seconds: 0.0,
            transition_seconds: 0.0,
            checks: vec![],
            replaced: None,
            signature: None,
            console_notes: vec![],
        },
        builder_version: "0.1.0".to_owned(),
        builder: "test".to_owned(),
        request: None,
    }
}
