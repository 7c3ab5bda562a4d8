use std::sync::Arc;

use camino::Utf8PathBuf;
use elivepatch_api::client::Client;
use elivepatch_model::Failure;
use elivepatch_server::{
    App, AppError, AppOptions, Reach, RouterTransport, ServerConfig, WorkerEnd,
    app::{StoreError, V1Options},
    config::Places,
    connections::{self, ConnectionLimits},
    public_router,
    tls::ServerCertificate,
    worker_router,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{load_config, make_directory};
use crate::{
    arguments::Arguments,
    error::CommandError,
    housekeeping, logging, manifest_key, owner, report,
    runner::{self, BuildRunner},
    serving,
    worker::{self, Pool, WorkPlace, WorkerName},
};

/// Where builds are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Building {
    /// Also in this process.
    Here,
    /// By workers of other machines only.
    Elsewhere,
}

/// Runs the API and the workers until a signal ends them.
pub fn run(arguments: &Arguments, building: Building) -> Result<(), CommandError> {
    logging::start(arguments.old().debug);
    serving::raise_file_limit();
    let config = load_config(arguments, &Places::of_this_user())?;
    owner::refuse_other_owner(&config.data_directory)?;
    make_directory(&config.data_directory)?;
    make_directory(&config.cache_directory)?;
    serving::run(serve(&config, building))
}

async fn serve(config: &ServerConfig, building: Building) -> Result<(), CommandError> {
    let hang_up = serving::hang_up()?;
    // First what fails fast. Whoever connects already is answered when the rest is ready.
    let certificate = super::certificate::open(config)?.map(Arc::new);
    let listener = listen(config).await?;
    let runner = tokio::task::block_in_place(|| runner::open(config))?;
    let options = AppOptions {
        data_directory: config.data_directory.clone(),
        queue_limit: config.queue_limit,
        builder_identity: runner.identity(),
        allow_unproven: config.policy.allow_unproven,
        feed: super::feed::options(config),
        manifest_key: Some(manifest_key::read_or_make(config)?),
        cve: super::fix::options(config),
        inventories: Some(Arc::new(runner::Kernels(Arc::clone(&runner)))),
        host_report_seconds: config.hosts.report_seconds,
        v1: config.serves_v1().then(|| v1_options(config)),
    };
    let app = App::open(options).await.map_err(open_error)?;
    let unsigned = tokio::task::block_in_place(|| runner.signing_problem());
    worker::release(&app, WorkerEnd::Died).await.map_err(open_error)?;
    let workers = match building {
        Building::Here => config.builder.workers,
        Building::Elsewhere => 0,
    };
    announce(
        config,
        workers,
        &listener,
        certificate.as_deref(),
        runner.as_ref(),
        unsigned.as_ref(),
    );
    announce_access(config, &app).await.map_err(open_error)?;
    let reach = match (config.listen.ip().is_loopback(), config.wants_tokens()) {
        (true, false) => Reach::Loopback,
        (true, true) => Reach::GuardedLoopback,
        (false, _) => Reach::Network,
    };
    let chores = app.start_chores();
    let sweeper = housekeeping::start(app.clone(), Arc::clone(&runner));
    let stop = CancellationToken::new();
    let place = WorkPlace::take(config)?;
    let mut workers = pool(&app, runner, place.directory.clone(), stop.clone()).start(workers);
    let mut server = tokio::spawn({
        let router = public_router(app.clone(), reach);
        let limits = ConnectionLimits::default();
        connections::serve(listener, certificate.clone(), router, limits, stop.clone())
    });
    let renewal = tokio::spawn(serving::renew(hang_up, certificate));
    // None of them ends by itself: half a server would only look like one.
    let outcome = tokio::select! {
        signal = serving::wait_for_signal() => signal,
        Some(ended) = workers.join_next() => Err(match ended {
            Ok(Some(refusal)) => {
                CommandError::bug(anyhow::Error::new(refusal).context("the server refuses its worker"))
            }
            Ok(None) => ended_by_itself("worker", None),
            Err(error) => ended_by_itself("worker", Some(error)),
        }),
        ended = &mut server => Err(ended_by_itself("listener", ended.err())),
    };
    tracing::info!("stopping");
    stop.cancel();
    app.stop();
    // At once, so that every build is back in the queue whatever happens from here on; and again
    // for a lease that was granted in this instant.
    release(&app).await;
    let ended = async {
        let mut ends = Vec::new();
        while let Some(end) = workers.join_next().await {
            ends.push(end.err());
        }
        ends.push(server.await.err());
        for error in ends.into_iter().flatten() {
            tracing::error!(%error, "a task ended badly");
        }
    };
    // What has ended by itself cannot be waited for again.
    if outcome.is_ok() && tokio::time::timeout(serving::STOP_LIMIT, ended).await.is_err() {
        tracing::warn!("something did not end in time and is cut off");
    }
    release(&app).await;
    drop(chores);
    sweeper.abort();
    renewal.abort();
    app.close().await;
    outcome
}

fn v1_options(config: &ServerConfig) -> V1Options {
    V1Options { accept_unproven: config.compat.accept_unproven, limits: config.v1_limits() }
}

/// Puts the workers' builds back into the queue. When that fails, as on a full disk, the next start
/// does it.
async fn release(app: &App) {
    if let Err(error) = worker::release(app, WorkerEnd::Stopped).await {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "builds under way could not be put back; the next start does it");
    }
}

fn ended_by_itself(task: &str, error: Option<tokio::task::JoinError>) -> CommandError {
    let message = format!("the {task} ended though nothing told it to");
    match error {
        Some(error) => CommandError::bug(anyhow::Error::new(error).context(message)),
        None => CommandError::bug(anyhow::Error::msg(message)),
    }
}

fn pool(
    app: &App,
    runner: Arc<dyn BuildRunner>,
    work_directory: Utf8PathBuf,
    stop: CancellationToken,
) -> Pool {
    let transport = RouterTransport::new(worker_router(app.clone()));
    let client = Client::new(Arc::new(transport));
    Pool { client, runner, name: WorkerName::Inside, work_directory, stop }
}

async fn listen(config: &ServerConfig) -> Result<TcpListener, CommandError> {
    TcpListener::bind(config.listen).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!(
                    "ss -ltnp 'sport = :{}' shows who listens there; or give another with --listen",
                    config.listen.port()
                )
            }
            std::io::ErrorKind::PermissionDenied => {
                "take a port above 1023 with --listen".to_owned()
            }
            _ => "take an address of this machine with --listen".to_owned(),
        };
        let error =
            anyhow::Error::new(error).context(format!("cannot listen on {}", config.listen));
        CommandError::network(error, hint)
    })
}

fn announce(
    config: &ServerConfig,
    workers: u32,
    listener: &TcpListener,
    certificate: Option<&ServerCertificate>,
    runner: &dyn BuildRunner,
    unsigned: Option<&Failure>,
) {
    let address = listener.local_addr().unwrap_or(config.listen);
    anstream::eprintln!("elivepatch-server {}", env!("CARGO_PKG_VERSION"));
    match certificate {
        Some(certificate) => {
            anstream::eprintln!("listening on https://{address}");
            anstream::eprintln!("certificate: {}", certificate.fingerprint());
        }
        None => anstream::eprintln!("listening on http://{address}"),
    }
    anstream::eprintln!("data:  {}", config.data_directory);
    anstream::eprintln!("cache: {}", config.cache_directory);
    anstream::eprintln!("workers: {}", report::workers(workers));
    runner::announce(runner, unsigned);
    for problem in super::fix::source_problems(config) {
        report::warn(&format!("a source of fixes cannot be used: {problem}"));
    }
}

/// Says who may use the server.
async fn announce_access(config: &ServerConfig, app: &App) -> Result<(), AppError> {
    for warning in config.v1_warnings() {
        report::warn(warning);
    }
    if !config.wants_tokens() {
        anstream::eprintln!("access: every user of this machine, without a token");
        return Ok(());
    }
    anstream::eprintln!("access: with a token");
    if !app.has_tokens().await? {
        report::warn("there is no token yet: elivepatch-server token create --role admin");
    }
    if !config.listen.ip().is_loopback() && !config.encrypts() {
        report::warn(
            "connections are not encrypted: whoever is on the way can take the tokens and change what is loaded",
        );
    }
    Ok(())
}

fn open_error(error: AppError) -> CommandError {
    let hint = match &error {
        AppError::DataDirectory(error) => super::data_directory_hint(error),
        AppError::Store(StoreError::Blob { .. }) => {
            "give a directory that this user can write in with --data-directory"
        }
        AppError::Store(StoreError::Newer { .. }) => {
            "run the newer elivepatch-server, or give another directory with --data-directory"
        }
        AppError::Store(StoreError::DiskFull) => {
            "make room on the disk of the data directory, then start again"
        }
        AppError::Store(StoreError::Open { .. } | StoreError::Corrupt { .. }) => {
            "restore the data directory from a backup, or give another with --data-directory"
        }
        _ => "see the causes above, then start again",
    };
    CommandError::input(error, hint)
}
