//! The typed client of the API: the same calls for the command line, for workers and for agents.
//!
//! A [`Client`] speaks through a [`Transport`]: HTTP, or a router in the same process.

mod builds;
mod call;
mod certificate;
mod error;
mod events;
mod follow;
mod hosts;
mod http_transport;
mod lease;
mod multipart;
mod names;
mod runs;
mod server_url;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;

pub use builds::{ManifestDownload, ModuleDownload, NamedPatch, RequestTexts};
pub use certificate::{CertificatePin, CertificatePinError};
pub use error::ClientError;
pub use events::EventStream;
pub use follow::{FollowOptions, Followed};
pub use http_transport::{HttpTransport, ServerAccess};
pub use lease::LeaseClient;
pub use names::NameError;
pub use server_url::{ServerUrl, ServerUrlError};
pub use transport::{BodyStream, Transport, TransportError, TransportSource};

use crate::{AssessmentRequest, AssessmentResource, HealthResource, VersionResource, paths};

/// Calls a server. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
}

impl Client {
    /// A client that speaks through `transport`.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// A client that speaks HTTP to `server`. `user_agent` names the program.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] when TLS cannot be set up.
    pub fn over_http(server: ServerUrl, user_agent: &str) -> Result<Self, ClientError> {
        Self::over_http_as(server, user_agent, &ServerAccess::default())
    }

    /// The same with a token, and for a server that is known by its certificate.
    ///
    /// # Errors
    /// As for [`Client::over_http`].
    pub fn over_http_as(
        server: ServerUrl,
        user_agent: &str,
        access: &ServerAccess,
    ) -> Result<Self, ClientError> {
        let url = server.to_string();
        let transport = HttpTransport::new(server, user_agent, access)
            .map_err(|source| ClientError::Invalid { url, source })?;
        Ok(Self::new(Arc::new(transport)))
    }

    /// Looks which certificate a server has. Whose it is, nobody knows by that.
    ///
    /// # Errors
    /// When no connection comes about, or it is not encrypted.
    pub async fn certificate_of(
        server: ServerUrl,
        user_agent: &str,
    ) -> Result<CertificatePin, ClientError> {
        let url = server.to_string();
        let transport = HttpTransport::that_looks(server, user_agent)
            .map_err(|source| ClientError::Invalid { url: url.clone(), source })?;
        match Self::new(Arc::new(transport)).health().await {
            Err(ClientError::Unreachable {
                source: TransportError::Certificate { seen, .. },
                ..
            }) => Ok(*seen),
            Err(error) => Err(error),
            Ok(_) => Err(ClientError::Unencrypted { url }),
        }
    }

    /// How errors call the server.
    pub fn peer(&self) -> &str {
        self.transport.peer()
    }

    /// Asks how the server is.
    ///
    /// # Errors
    /// As for any call.
    pub async fn health(&self) -> Result<HealthResource, ClientError> {
        self.send_for_json(call::Call::get(paths::HEALTH)).await
    }

    /// Asks which CVEs matter on a kernel.
    ///
    /// # Errors
    /// As for any call; when the server has no feed or cannot tell the kernel's version.
    pub async fn assess(
        &self,
        request: &AssessmentRequest,
    ) -> Result<AssessmentResource, ClientError> {
        self.send_for_json(call::Call::post(paths::ASSESSMENTS).json(request)).await
    }

    /// Asks what the server is.
    ///
    /// # Errors
    /// As for any call.
    pub async fn version(&self) -> Result<VersionResource, ClientError> {
        self.send_for_json(call::Call::get(paths::VERSION)).await
    }
}
