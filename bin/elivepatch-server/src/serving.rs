//! Answers requests on the listen address, encrypted or not.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Router, serve::ListenerExt};
use elivepatch_server::tls::{ServerCertificate, TlsListener};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Serves until `stop`, and then until what is open has ended.
pub async fn serve(
    listener: TcpListener,
    certificate: Option<Arc<ServerCertificate>>,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = stop.cancelled_owned();
    match certificate {
        Some(certificate) => {
            let listener = TlsListener::new(listener, certificate)?.tap_io(|_| {});
            axum::serve(listener, service).with_graceful_shutdown(stopped).await
        }
        None => {
            // Events are small and should leave at once. A connection without it works as well.
            let listener = listener.tap_io(|connection| {
                let _ = connection.set_nodelay(true);
            });
            axum::serve(listener, service).with_graceful_shutdown(stopped).await
        }
    }
}

/// Reads certificate and key again with each SIGHUP, as after they were renewed. Does not end.
pub async fn renew(certificate: Option<Arc<ServerCertificate>>) {
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else { return };
    while hang_up.recv().await.is_some() {
        let Some(certificate) = &certificate else {
            tracing::info!("SIGHUP: connections are not encrypted, there is nothing to read again");
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
