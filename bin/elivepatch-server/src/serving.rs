//! What a server or worker needs of the process.

use std::{sync::Arc, time::Duration};

use elivepatch_server::tls::ServerCertificate;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CommandError;

/// Lets the process open as many files as it may. The limit that it begins with, most often 1024, is there for programs
/// that use select(2) (systemd.exec(5), LimitNOFILE=).
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// How long workers and open connections get to end when the process stops.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Does what serves or builds, on a runtime of its own.
///
/// # Errors
/// Those of the work, or that the system gives no threads.
pub fn run(work: impl Future<Output = Result<(), CommandError>>) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CommandError::bug)?;
    let result = runtime.block_on(work);
    // A build that does not stop in time must not hold the process; its tools die with it.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Waits until somebody wants the process to end.
///
/// # Errors
/// When the system does not tell.
pub async fn wait_for_signal() -> Result<(), CommandError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::bug)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::bug)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// SIGHUP from now on, which ends the process no more. To be called before anything that takes its time: a service
/// may be told to reload while it starts.
///
/// # Errors
/// When the system does not tell.
pub fn hang_up() -> Result<Signal, CommandError> {
    signal(SignalKind::hangup()).map_err(CommandError::bug)
}

/// Reads certificate and key again with each SIGHUP, as after they were renewed; a process without them is not to end by
/// it. Does not end.
pub async fn renew(mut hang_up: Signal, certificate: Option<Arc<ServerCertificate>>) {
    while hang_up.recv().await.is_some() {
        let Some(certificate) = &certificate else {
            tracing::info!("SIGHUP: there is no certificate to read again");
            continue;
        };
        match certificate.read_again() {
            Ok(()) => {
                let fingerprint = certificate.fingerprint();
                tracing::info!(%fingerprint, path = %certificate.path(), "certificate read again");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    error,
                    "the certificate could not be read again: the old one stays"
                );
            }
        }
    }
}
