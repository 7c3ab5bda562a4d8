//! One leased build: fetch, run, send what happens, hand over the outcome.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_api::{
    CompleteProbeRequest, CompleteRequest, ErrorCode, EventsRequest, FailRequest, Lease,
    client::{ClientError, LeaseClient},
};
use elivepatch_builder::{
    BaselinePatch, BuildOrder, EarlierModule, FinishedBuild, FixText, Observer,
    remove_work_directory,
};
use elivepatch_model::{
    BuildEvent, Failure, FailureClass, Fault, ProbeRecord, Sha256Digest, Step, StepName, StepState,
    limits, with_causes,
};
use tokio_util::sync::CancellationToken;

use super::{batch::Batches, outbox::Outbox};
use crate::runner::BuildRunner;

/// How often events are sent that can wait, log lines above all: short enough to look live, long
/// enough that a build with much output does not keep the server busy with transactions. Steps are
/// few and go at once.
const SEND_EVERY: Duration = Duration::from_millis(200);

/// How often the last events, and the outcome, are sent again when the server does not take them.
const SEND_ATTEMPTS: u32 = 5;
/// How long to rest in between.
const SEND_REST: Duration = Duration::from_secs(1);

/// For how long a call is made again while the server cannot be reached, as when it is started anew: as long as a lease
/// lasts.
const AWAY_LIMIT: Duration = elivepatch_server::LEASE_DURATION;

/// What to do about what only a log tells.
const SEE_THE_LOG: &str =
    "see the log of the server, or of the worker where another machine builds";

/// How long a worker that stops tries to give its build back.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// What a build's end says of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The build failed by the machine's fault.
    MachineFailed,
    /// Nothing.
    Other,
}

/// Does the build and reports its outcome, unless it was cancelled, its lease was lost, or the
/// worker stops: then it is given back at once.
pub async fn run(
    lease: Lease,
    client: LeaseClient,
    runner: Arc<dyn BuildRunner>,
    work_directory: &Utf8Path,
    stop: &CancellationToken,
) -> End {
    let number = lease.build.number;
    tracing::info!(build = %number, attempt = lease.build.attempt, "build begins");
    let outbox = Arc::new(Outbox::new());
    // Told by the heartbeat when the build is not ours any more, and by the worker's own stop.
    let over = stop.child_token();
    let every = Duration::from_secs(lease.heartbeat_seconds.max(1).into());
    let heart = tokio::spawn(beat(client.clone(), every, over.clone()));
    let canceller = tokio::spawn({
        let (outbox, over) = (Arc::clone(&outbox), over.clone());
        let (client, stop) = (client.clone(), stop.clone());
        async move {
            over.cancelled().await;
            outbox.cancel();
            // Before the build has ended and its directory is gone, which may take longer than there is time.
            if stop.is_cancelled() {
                give_back(&client).await;
            }
        }
    });
    let sender_done = CancellationToken::new();
    let sender = tokio::spawn(send_events(
        client.clone(),
        Arc::clone(&outbox),
        over.clone(),
        sender_done.clone(),
    ));
    let outcome = attempt(&lease, &client, runner, &outbox, work_directory, &over).await;
    sender_done.cancel();
    // It ends by itself after the last events; it does not panic.
    let _ = sender.await;
    let mut end = End::Other;
    if stop.is_cancelled() {
        // It does not panic, and ends in a few seconds.
        let _ = canceller.await;
    } else {
        canceller.abort();
        if over.is_cancelled() {
            tracing::info!(build = %number, "build dropped: cancelled or lost");
        } else {
            if let Err(failure) = &outcome
                && failure.class.fault() == Fault::Infrastructure
            {
                end = End::MachineFailed;
            }
            hand_over(&client, outcome, &over).await;
        }
    }
    heart.abort();
    end
}

/// Gives a build back that is cut off because the worker stops. Where that fails, the server waits until the lease ends.
async fn give_back(client: &LeaseClient) {
    let number = client.number();
    match tokio::time::timeout(RELEASE_LIMIT, client.release()).await {
        Ok(Ok(())) => tracing::info!(build = %number, "build given back: this worker stops"),
        Ok(Err(error)) if is_lease_lost(&error) => {
            tracing::info!(build = %number, "build dropped: the server has it back");
        }
        Ok(Err(error)) => {
            tracing::warn!(build = %number, "build not given back: {}", with_causes(&error));
        }
        Err(_) => tracing::warn!(build = %number, "build not given back: the server is silent"),
    }
}

/// How long it is waited for a server that cannot be reached.
struct Patience<'a> {
    began: Instant,
    over: &'a CancellationToken,
}

impl<'a> Patience<'a> {
    /// For one call of a build, which ends when `over` is told.
    fn new(over: &'a CancellationToken) -> Self {
        Self { began: Instant::now(), over }
    }

    /// Whether a call that gave this is to be made again. Rests before it says so.
    async fn is_left<T>(&self, result: &Result<T, ClientError>) -> bool {
        if !result.as_ref().is_err_and(is_away) || self.began.elapsed() >= AWAY_LIMIT {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(SEND_REST) => true,
            () = self.over.cancelled() => false,
        }
    }
}

/// Whether a call never came to the server, or its answer never came back.
fn is_away(error: &ClientError) -> bool {
    error.is_passing() && !matches!(error, ClientError::Api { .. })
}

/// What a build came to.
enum Done {
    Livepatch(Box<CompleteRequest>),
    Probe(CompleteProbeRequest),
}

/// Runs the build and uploads its module, or does the probe.
async fn attempt(
    lease: &Lease,
    client: &LeaseClient,
    runner: Arc<dyn BuildRunner>,
    outbox: &Arc<Outbox>,
    work_directory: &Utf8Path,
    over: &CancellationToken,
) -> Result<Done, Failure> {
    let patience = Patience::new(over);
    let order = loop {
        let order = fetch_order(lease, client).await;
        if !patience.is_left(&order).await {
            break order;
        }
    };
    let order = order
        .map_err(|error| from_client(&error, "the config and the patches could not be fetched"))?;
    let directory = tempfile::Builder::new()
        .prefix(&format!("build-{}-", lease.build.number))
        .tempdir_in(work_directory)
        .map_err(|error| from_io(&error, &format!("no directory in {work_directory}")))?;
    let path = Utf8PathBuf::from_path_buf(directory.keep())
        .map_err(|_| internal("the work directory's path is not UTF-8"))?;
    let (observer, work) = (Arc::clone(outbox), path.clone());
    let is_probe = lease.build.options.probe;
    let run = move || match is_probe {
        true => runner.probe(&order, &*observer, &work).map(Built::Probe),
        false => {
            runner.build(&order, &*observer, &work).map(|built| Built::Livepatch(Box::new(built)))
        }
    };
    let built = tokio::task::spawn_blocking(run)
        .await
        .unwrap_or_else(|panic| Err(internal(&format!("the builder panicked: {panic}"))));
    let done = match built {
        Ok(Built::Livepatch(built)) => {
            let published = publish(client, outbox, *built, over).await;
            published.map(|request| Done::Livepatch(Box::new(request)))
        }
        Ok(Built::Probe(probe)) => Ok(Done::Probe(CompleteProbeRequest { probe })),
        Err(failure) => Err(failure),
    };
    // Thousands of files may lie there.
    let removed = tokio::task::spawn_blocking(move || remove_work_directory(&path)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, "the work directory could not be removed");
    }
    done
}

/// What the builder made.
enum Built {
    Livepatch(Box<FinishedBuild>),
    Probe(ProbeRecord),
}

async fn fetch_order(lease: &Lease, client: &LeaseClient) -> Result<BuildOrder, ClientError> {
    let build = &lease.build;
    let config = client.blob(build.config, limits::CONFIG_BYTES).await?.to_vec();
    let kallsyms = match build.kallsyms {
        Some(digest) => Some(client.blob(digest, limits::KALLSYMS_BYTES).await?.to_vec()),
        None => None,
    };
    let mut baseline = Vec::with_capacity(build.baseline.len());
    for patch in &build.baseline {
        let text = client.blob(patch.digest, limits::BASELINE_PATCH_BYTES).await?.to_vec();
        baseline.push(BaselinePatch { name: patch.name.clone(), text });
    }
    let mut fixes = Vec::with_capacity(build.fixes.len());
    for fix in &build.fixes {
        let text = client.blob(fix.digest, limits::PATCH_BYTES).await?.to_vec();
        fixes.push(FixText { fix: fix.clone(), text });
    }
    let replaces = match build.options.replaces {
        Some(digest) => Some(fetch_earlier(digest, client).await?),
        None => None,
    };
    Ok(BuildOrder {
        key: build.key,
        target: build.target.clone(),
        config,
        fixes,
        checks: build.checks.clone(),
        without: build.options.without.clone(),
        engine: build.options.engine,
        rebuild: build.rebuild.clone(),
        accept_unproven: build.options.accept_unproven,
        kallsyms,
        baseline,
        replaces,
        stack: build.options.stack,
    })
}

/// Fetches the livepatch that is to be replaced. One that the server does not have any more is no
/// reason not to build.
async fn fetch_earlier(
    digest: Sha256Digest,
    client: &LeaseClient,
) -> Result<EarlierModule, ClientError> {
    let module = match client.blob(digest, limits::MODULE_BYTES).await {
        Ok(module) => Some(module.to_vec()),
        Err(error)
            if matches!(error, ClientError::Digest { .. })
                || (is_refused(&error) && !is_lease_lost(&error)) =>
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(build = %client.number(), error, "the earlier livepatch is not to be had");
            None
        }
        Err(error) => return Err(error),
    };
    Ok(EarlierModule { digest, module })
}

async fn publish(
    client: &LeaseClient,
    outbox: &Outbox,
    built: FinishedBuild,
    over: &CancellationToken,
) -> Result<CompleteRequest, Failure> {
    let began = std::time::Instant::now();
    let step = |state, summary: Option<String>| {
        let duration_seconds = (state != StepState::Running).then(|| began.elapsed().as_secs_f64());
        let step = Step { name: StepName::Publish, state, duration_seconds, summary };
        outbox.event(BuildEvent::Step { step });
    };
    step(StepState::Running, None);
    let module = tokio::fs::read(&built.module)
        .await
        .map_err(|error| from_io(&error, &format!("cannot read {}", built.module)))?;
    let size = module.len();
    let module = Bytes::from(module);
    let patience = Patience::new(over);
    let uploaded = loop {
        let uploaded = client.upload_module(module.clone()).await;
        if !patience.is_left(&uploaded).await {
            break uploaded;
        }
    };
    if let Err(error) = uploaded {
        step(StepState::Failed, None);
        let failure = from_client(&error, "the module could not be handed over");
        return Err(failure.in_step(StepName::Publish));
    }
    step(StepState::Done, Some(format!("{size} bytes")));
    Ok(CompleteRequest { manifest: built.manifest })
}

/// Hands over the outcome. When the server refuses it, hands over that: a build that nobody ends
/// would wait for its lease to run out, and be built again for the same refusal.
async fn hand_over(client: &LeaseClient, outcome: Result<Done, Failure>, over: &CancellationToken) {
    let number = client.number();
    let Err(mut error) = report(client, outcome, over).await else { return };
    if let Some(refusal) = refusal(&error) {
        let failure = internal(&format!("the server refused the outcome: {refusal}"));
        tracing::error!(build = %number, %error, "the outcome was refused");
        match report(client, Err(failure), over).await {
            Ok(()) => return,
            Err(next) => error = next,
        }
    }
    if is_lease_lost(&error) {
        tracing::info!(build = %number, "build dropped: its lease has ended");
    } else {
        let error: &dyn std::error::Error = &error;
        tracing::error!(build = %number, error, "the outcome could not be handed over");
    }
}

async fn report(
    client: &LeaseClient,
    outcome: Result<Done, Failure>,
    over: &CancellationToken,
) -> Result<(), ClientError> {
    let mut attempts = 0;
    let patience = Patience::new(over);
    loop {
        let sent = match &outcome {
            Ok(Done::Livepatch(complete)) => client.complete(complete).await,
            Ok(Done::Probe(found)) => client.complete_probe(found).await,
            Err(failure) => client.fail(&FailRequest { failure: failure.clone() }).await,
        };
        if patience.is_left(&sent).await {
            continue;
        }
        attempts += 1;
        match sent {
            Err(error) if !is_refused(&error) && attempts < SEND_ATTEMPTS => {
                tokio::time::sleep(SEND_REST).await;
            }
            other => return other,
        }
    }
}

/// Renews the lease until the build is over. An answer that says it is not ours ends it.
async fn beat(client: LeaseClient, every: Duration, over: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = over.cancelled() => return,
        }
        match client.heartbeat().await {
            Ok(heartbeat) if heartbeat.cancelled => over.cancel(),
            Ok(_) => {}
            Err(error) if is_refused(&error) => over.cancel(),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(build = %client.number(), error, "heartbeat failed");
            }
        }
    }
}

/// Sends events in batches, in their order, until the build is done and nothing is left.
async fn send_events(
    client: LeaseClient,
    outbox: Arc<Outbox>,
    over: CancellationToken,
    done: CancellationToken,
) {
    let mut waiting = Batches::default();
    let mut attempts_at_end = 0;
    // Begun when nothing more comes.
    let mut patience = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(SEND_EVERY) => {}
            () = outbox.step_changed() => {}
            () = over.cancelled() => return,
            () = done.cancelled() => {}
        }
        let last = done.is_cancelled();
        waiting.extend(outbox.take());
        while !waiting.is_empty() {
            let request = EventsRequest { events: waiting.next() };
            match client.events(&request).await {
                Ok(()) => waiting.sent(request.events.len()),
                Err(error) if is_lease_lost(&error) => {
                    over.cancel();
                    return;
                }
                Err(error) if is_refused(&error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(build = %client.number(), error, "events were refused");
                    waiting.sent(request.events.len());
                }
                Err(error) => {
                    let sent = Err::<(), _>(error);
                    if last
                        && patience.get_or_insert_with(|| Patience::new(&over)).is_left(&sent).await
                    {
                        break;
                    }
                    attempts_at_end += u32::from(last);
                    tokio::time::sleep(SEND_REST).await;
                    break;
                }
            }
        }
        if last && (waiting.is_empty() || attempts_at_end >= SEND_ATTEMPTS) {
            return;
        }
    }
}

/// Whether trying again is of no use: the lease is lost, or the server does not want this.
fn is_refused(error: &ClientError) -> bool {
    match error {
        ClientError::Api { error, .. } => {
            !matches!(error.code, ErrorCode::Internal | ErrorCode::DiskFull)
        }
        _ => false,
    }
}

fn is_lease_lost(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::LeaseLost)
}

/// What the server has against it, unless the lease is lost.
fn refusal(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Api { error: api, .. } if is_refused(error) && !is_lease_lost(error) => {
            Some(api.message.clone())
        }
        _ => None,
    }
}

fn from_client(error: &ClientError, what: &str) -> Failure {
    let class = match error {
        ClientError::Api { error, .. } if error.code == ErrorCode::DiskFull => {
            FailureClass::DiskFull
        }
        _ => FailureClass::Internal,
    };
    Failure::new(class, format!("{what}: {error}"), SEE_THE_LOG)
}

fn from_io(error: &std::io::Error, what: &str) -> Failure {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Failure::new(
            FailureClass::DiskFull,
            format!("{what}: the disk is full"),
            "make room on the disk of the cache directory of the machine that builds, then submit again",
        ),
        _ => internal(&format!("{what}: {error}")),
    }
}

fn internal(message: &str) -> Failure {
    Failure::new(FailureClass::Internal, message, SEE_THE_LOG)
}
