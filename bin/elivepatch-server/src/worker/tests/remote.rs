//! What a worker does that another machine's server may be away from, refuse, or lose.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::IntoResponse,
};
use elivepatch_api::ErrorCode;

use super::*;

/// Workers of a machine that is called so, for the server of a fixture that has none itself.
struct Elsewhere {
    fixture: Fixture,
    workers: JoinSet<Option<ClientError>>,
}

impl Elsewhere {
    async fn new<F>(over: impl FnOnce(Router) -> Router, script: Script<F>) -> Self
    where
        Script<F>: BuildRunner + 'static,
    {
        let fixture = Fixture::with_workers(0, |_, _, _| unreachable!("nothing is built here"));
        let fixture = fixture.await;
        let router = over(worker_router(fixture.app.clone()));
        let pool = Pool {
            client: Client::new(Arc::new(RouterTransport::new(router))),
            runner: Arc::new(script),
            name: WorkerName::Elsewhere("builder".to_owned()),
            work_directory: fixture.work_directory.clone(),
            stop: fixture.stop.clone(),
        };
        Self { workers: pool.start(1), fixture }
    }
}

/// Makes a livepatch.
fn finish(order: &BuildOrder, _: &dyn Observer, work: &Utf8Path) -> Result<FinishedBuild, Failure> {
    let module = work.join("livepatch.ko");
    std::fs::write(&module, "module").expect("written");
    Ok(FinishedBuild { manifest: manifest(order), module })
}

#[tokio::test(flavor = "multi_thread")]
async fn build_goes_on_while_the_server_is_away_and_is_handed_over_when_it_is_back() {
    // As a proxy answers while the server is started anew: two of each kind of call.
    const AWAY: u32 = 2;
    let kinds = ["/leases", "/blobs/", "/module", "/complete"];
    let asked: Arc<[AtomicU32; 4]> = Arc::default();
    let seen = Arc::clone(&asked);
    let away = move |request: Request, next: Next| {
        let kind = kinds.iter().position(|kind| request.uri().path().contains(kind));
        let is_away = kind.is_some_and(|kind| asked[kind].fetch_add(1, Ordering::SeqCst) < AWAY);
        async move {
            match is_away {
                true => (StatusCode::BAD_GATEWAY, "<html>502 Bad Gateway</html>").into_response(),
                false => next.run(request).await,
            }
        }
    };
    let over = |router: Router| router.layer(middleware::from_fn(away));
    let elsewhere = Elsewhere::new(over, Script::new(finish)).await;
    let number = elsewhere.fixture.submit().await;
    let build = elsewhere.fixture.until(number, |build| build.state.is_finished()).await;
    assert_eq!((build.state, build.attempts), (BuildState::Succeeded, 1), "{build:?}");
    for (kind, asked) in kinds.iter().zip(seen.iter()) {
        assert!(asked.load(Ordering::SeqCst) > AWAY, "{kind} was never refused, or never again");
    }
    elsewhere.fixture.client.module(number).await.expect("a module");
    elsewhere.fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_comes_with_its_whole_log_after_the_server_was_away() {
    // Longer than a server that answers wrongly is asked again.
    const AWAY: u32 = 8;
    let asked: Arc<AtomicU32> = Arc::default();
    let seen = Arc::clone(&asked);
    let away = move |request: Request, next: Next| {
        let is_away = request.uri().path().ends_with("/events")
            && asked.fetch_add(1, Ordering::SeqCst) < AWAY;
        async move {
            match is_away {
                true => StatusCode::BAD_GATEWAY.into_response(),
                false => next.run(request).await,
            }
        }
    };
    let script = |_: &BuildOrder, observer: &dyn Observer, _: &Utf8Path| {
        observer.event(log("error: no such field"));
        Err(Failure::new(FailureClass::CompileFailed, "no such field", "correct it"))
    };
    let over = |router: Router| router.layer(middleware::from_fn(away));
    let elsewhere = Elsewhere::new(over, Script::new(script)).await;
    let number = elsewhere.fixture.submit().await;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if elsewhere.fixture.client.build(number).await.expect("there").state.is_finished() {
            break;
        }
    }
    let build = elsewhere.fixture.client.build(number).await.expect("there");
    assert_eq!(build.failure.expect("a failure").class, FailureClass::CompileFailed);
    assert_eq!(elsewhere.fixture.log_lines(number).await, ["error: no such field"]);
    assert!(seen.load(Ordering::SeqCst) > AWAY);
    elsewhere.fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_that_fails_a_build_by_its_own_fault_leaves_it_to_others() {
    let script = |_: &BuildOrder, _: &dyn Observer, _: &Utf8Path| {
        Err(Failure::new(FailureClass::DiskFull, "the disk is full", "make room"))
    };
    let elsewhere = Elsewhere::new(|router| router, Script::new(script)).await;
    let number = elsewhere.fixture.submit().await;
    elsewhere.fixture.until(number, |build| build.attempts == 1).await;
    elsewhere.fixture.until(number, |build| build.state == BuildState::Queued).await;
    // The build's own rest is over by then.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let build = elsewhere.fixture.client.build(number).await.expect("there");
    assert_eq!((build.state, build.attempts), (BuildState::Queued, 1), "it was not left alone");
    let others = Pool {
        client: Client::new(Arc::new(RouterTransport::new(worker_router(
            elsewhere.fixture.app.clone(),
        )))),
        runner: Arc::new(Script::new(finish)),
        name: WorkerName::Elsewhere("other".to_owned()),
        work_directory: elsewhere.fixture.work_directory.clone(),
        stop: elsewhere.fixture.stop.clone(),
    };
    let _workers = others.start(1);
    let build = elsewhere.fixture.until(number, |build| build.state.is_finished()).await;
    assert_eq!((build.state, build.attempts), (BuildState::Succeeded, 2));
    elsewhere.fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_the_server_does_not_take_ends_with_what_it_was_told() {
    let script = |_: &BuildOrder, _: &dyn Observer, _: &Utf8Path| unreachable!("it gets no build");
    let own = BuilderIdentity { common: "9.9.9+f00".to_owned(), ..identity() };
    let fixture = Fixture::with_workers(0, |_, _, _| unreachable!("nothing is built here")).await;
    let number = fixture.submit().await;
    let pool = Pool {
        client: Client::new(Arc::new(RouterTransport::new(worker_router(fixture.app.clone())))),
        runner: Arc::new(Script { does: script, identity: own }),
        name: WorkerName::Elsewhere("builder".to_owned()),
        work_directory: fixture.work_directory.clone(),
        stop: fixture.stop.clone(),
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), pool.start(2).join_all()).await;
    // The first that is refused ends the other, which may not have asked.
    let refusals: Vec<ClientError> =
        ended.expect("they end by themselves").into_iter().flatten().collect();
    assert!(!refusals.is_empty());
    for refusal in refusals {
        assert_eq!(refusal.code(), Some(ErrorCode::Conflict), "{refusal}");
        assert!(refusal.to_string().contains("the worker has elivepatch-server 9.9.9+f00"));
    }
    assert_eq!(fixture.client.build(number).await.expect("there").state, BuildState::Queued);
    fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_stops_gives_its_build_back_by_itself() {
    let script = |_: &BuildOrder, observer: &dyn Observer, _: &Utf8Path| {
        wait_for_cancel(observer);
        // Tools that do not end at once, a directory with thousands of files.
        std::thread::sleep(Duration::from_secs(3));
        Err(Failure::new(FailureClass::CompileFailed, "cut off", "none"))
    };
    let mut elsewhere = Elsewhere::new(|router| router, Script::new(script)).await;
    let number = elsewhere.fixture.submit().await;
    elsewhere.fixture.until(number, |build| build.state == BuildState::Running).await;
    elsewhere.fixture.stop.cancel();
    let told = std::time::Instant::now();
    elsewhere.fixture.until(number, |build| build.state == BuildState::Queued).await;
    assert!(told.elapsed() < Duration::from_secs(2), "it is given back when all is over only");
    let ended = tokio::time::timeout(Duration::from_secs(5), elsewhere.workers.join_next()).await;
    let refusal = ended.expect("in time").expect("one worker").expect("no panic");
    assert!(refusal.is_none(), "{refusal:?}");
    let build = elsewhere.fixture.client.build(number).await.expect("there");
    assert_eq!((build.state, build.failure), (BuildState::Queued, None));
    elsewhere.fixture.stopped().await;
}
