//! A worker on a machine of its own: it builds for a server on another one.

use std::{io::Read, sync::Arc};

use camino::Utf8Path;
use elivepatch_api::{
    ErrorCode,
    client::{Client, ClientError, ServerAccess, ServerUrl, TransportError},
};
use elivepatch_model::AccessToken;
use elivepatch_server::{ServerConfig, app::DataDirectoryLock, config::Places};
use tokio_util::sync::CancellationToken;

use super::{data_directory_hint, load_config, make_directory};
use crate::{
    arguments::Arguments,
    error::CommandError,
    housekeeping, logging, owner, report, runner, serving,
    worker::{Pool, WorkPlace, WorkerName},
    worker_arguments::WorkerArguments,
};

/// The largest file that a token is read from, in bytes: a token and some white space.
const TOKEN_FILE_BYTES: u64 = 4096;

/// Builds for a server until a signal ends it, or the server refuses it.
pub fn run(arguments: &Arguments, given: &WorkerArguments) -> Result<(), CommandError> {
    logging::start(false);
    serving::raise_file_limit();
    let mut config = load_config(arguments, &Places::of_this_user())?;
    given.apply(&mut config.worker);
    if let Some((key, problem)) = config.worker.problems().into_iter().next() {
        let error = anyhow::anyhow!("{key}: {problem}");
        return Err(CommandError::input(error, "elivepatch-server worker --help"));
    }
    let server = server(&config)?;
    let access = access(&config)?;
    owner::refuse_other_owner(&config.data_directory)?;
    make_directory(&config.data_directory)?;
    // Two on one data directory are a mistake, such as the service and one at a terminal.
    let lock = DataDirectoryLock::take(&config.data_directory).map_err(|error| {
        let hint = data_directory_hint(&error);
        CommandError::input(error, hint)
    })?;
    make_directory(&config.cache_directory)?;
    let user_agent = format!("elivepatch-server/{}", env!("CARGO_PKG_VERSION"));
    let client = Client::over_http_as(server.clone(), &user_agent, &access).map_err(refused)?;
    let result = serving::run(work(&config, &server, client));
    drop(lock);
    result
}

async fn work(
    config: &ServerConfig,
    server: &ServerUrl,
    client: Client,
) -> Result<(), CommandError> {
    let hang_up = serving::hang_up()?;
    let runner = tokio::task::block_in_place(|| runner::open(config))?;
    let unsigned = tokio::task::block_in_place(|| runner.signing_problem());
    let name = name(config);
    anstream::eprintln!("elivepatch-server {}", env!("CARGO_PKG_VERSION"));
    anstream::eprintln!("builds for: {server}, as {name}");
    anstream::eprintln!("cache: {}", config.cache_directory);
    anstream::eprintln!("workers: {}", report::workers(config.builder.workers));
    runner::announce(runner.as_ref(), unsigned.as_ref());
    let place = WorkPlace::take(config)?;
    let stop = CancellationToken::new();
    let renewal = tokio::spawn(serving::renew(hang_up, None));
    let sweeper = housekeeping::start_alone(Arc::clone(&runner));
    let pool = Pool {
        client,
        runner,
        name: WorkerName::Elsewhere(name),
        work_directory: place.directory.clone(),
        stop: stop.clone(),
    };
    let mut workers = pool.start(config.builder.workers);
    let mut refusal = None;
    let mut told = std::pin::pin!(serving::wait_for_signal());
    let outcome = loop {
        tokio::select! {
            signal = &mut told => break signal,
            // When one is refused the others end, too, after what they build.
            ended = workers.join_next() => match ended {
                None => break Ok(()),
                Some(Ok(why)) => refusal = refusal.or(why),
                Some(Err(panic)) => break Err(CommandError::bug(panic)),
            },
        }
    };
    tracing::info!("stopping");
    stop.cancel();
    let ended = async { while workers.join_next().await.is_some() {} };
    if tokio::time::timeout(serving::STOP_LIMIT, ended).await.is_err() {
        tracing::warn!("something did not end in time and is cut off");
    }
    renewal.abort();
    sweeper.abort();
    match refusal {
        Some(why) => outcome.and(Err(refused(why))),
        None => outcome,
    }
}

/// The server of the config, when it names one and has a token for it.
///
/// # Errors
/// When it names one and there is no token.
pub fn named_server(config: &ServerConfig) -> Result<Option<ServerUrl>, CommandError> {
    if config.worker.server.is_none() {
        return Ok(None);
    }
    access(config)?;
    server(config).map(Some)
}

fn server(config: &ServerConfig) -> Result<ServerUrl, CommandError> {
    let Some(text) = &config.worker.server else {
        return Err(CommandError::input(
            anyhow::anyhow!("no server is named for which this machine is to build"),
            "give its address with --url, or as server under [worker] in the config",
        ));
    };
    text.parse().map_err(|error: elivepatch_api::client::ServerUrlError| {
        CommandError::input(error, "elivepatch-server worker --help")
    })
}

fn access(config: &ServerConfig) -> Result<ServerAccess, CommandError> {
    let section = &config.worker;
    let Some(path) = &section.token_file else {
        return Err(CommandError::input(
            anyhow::anyhow!(
                "the server wants a token of its workers, and no file with one is named"
            ),
            "on the server: elivepatch-server token create --role worker; here: --token-file FILE, or token_file under \
             [worker] in the config",
        ));
    };
    let certificate = section.certificate.as_ref().map(|text| text.parse()).transpose();
    let certificate =
        certificate.map_err(|error: elivepatch_api::client::CertificatePinError| {
            CommandError::input(
                error,
                "give what elivepatch-server certificate prints on the server",
            )
        })?;
    Ok(ServerAccess { token: Some(read_token(path)?), certificate })
}

fn read_token(path: &Utf8Path) -> Result<AccessToken, CommandError> {
    let mut text = Vec::new();
    let read = fs_err::File::open(path)
        .and_then(|file| file.take(TOKEN_FILE_BYTES).read_to_end(&mut text));
    read.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => format!(
                "the user that the worker runs as must be able to read it: chown root:elivepatch {path}; chmod 640 {path}"
            ),
            _ => "write what elivepatch-server token create --role worker printed on the server into it".to_owned(),
        };
        CommandError::input(error, hint)
    })?;
    String::from_utf8_lossy(&text).trim().parse().map_err(|error: elivepatch_model::AccessTokenError| {
        CommandError::input(
            anyhow::Error::new(error).context(format!("there is no token in {path}")),
            "it is what elivepatch-server token create printed, the whole line that begins with elp_",
        )
    })
}

/// What the machine is called on the server.
fn name(config: &ServerConfig) -> String {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    config.worker.name.clone().unwrap_or_else(host)
}

/// Why the server gives no work, for who reads the end of the log.
fn refused(error: ClientError) -> CommandError {
    let hint = match &error {
        ClientError::Api { error: api, .. } => match api.code {
            // The server's hint for clients has other options.
            ErrorCode::Forbidden => {
                "on the server: elivepatch-server token create --role worker".to_owned()
            }
            ErrorCode::NotFound | ErrorCode::MethodNotAllowed => {
                "install the version of elivepatch-server on both machines, one that leases builds to other machines"
                    .to_owned()
            }
            _ => api.hint.clone(),
        },
        ClientError::Unreachable { source: TransportError::Certificate { .. }, .. } => {
            "compare with what elivepatch-server certificate prints on the server, then give that with \
             --server-certificate, or as certificate under [worker] in the config"
                .to_owned()
        }
        ClientError::Unencrypted { .. } => {
            "name the server by https://; one on this machine needs no encryption".to_owned()
        }
        _ => "is this the address of an elivepatch-server?".to_owned(),
    };
    CommandError::input(error, hint)
}
