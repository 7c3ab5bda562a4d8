use std::time::Duration;

use bytes::Bytes;
use elivepatch_model::{BuildNumber, Sha256Digest};
use http::{HeaderName, Method, StatusCode};

use super::{
    Client, ClientError,
    call::{ANSWER_TIMEOUT, Call, UPLOAD_TIMEOUT},
};
use crate::{
    ClaimRequest, CompleteProbeRequest, CompleteRequest, EventsRequest, FailRequest, Heartbeat,
    LEASE_HEADER, Lease, LeaseToken, paths,
};

/// How long the server may take for a call of a leased build that brings little: a third of the time that a lease lasts,
/// so that a connection which died without a word does not cost the lease.
const LEASE_CALL_TIMEOUT: Duration = Duration::from_secs(20);

impl Client {
    /// Asks for work. `None` when there was none for as long as the claim waits.
    ///
    /// # Errors
    /// As for any call.
    pub async fn claim(&self, claim: &ClaimRequest) -> Result<Option<Lease>, ClientError> {
        let timeout = ANSWER_TIMEOUT + Duration::from_secs(claim.wait_seconds.into());
        let answer = self.send(Call::post(paths::LEASES).json(claim).timeout(timeout)).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        self.read_json(answer).await.map(Some)
    }

    /// The calls that a worker makes for a build it has leased.
    pub fn leased(&self, lease: &Lease) -> LeaseClient {
        LeaseClient { client: self.clone(), number: lease.build.number, token: lease.token.clone() }
    }
}

/// What a worker may do with the build it has leased. Every call carries the token; after the
/// lease has ended each of them is refused with [`crate::ErrorCode::LeaseLost`].
#[derive(Clone)]
pub struct LeaseClient {
    client: Client,
    number: BuildNumber,
    token: LeaseToken,
}

impl LeaseClient {
    /// The leased build.
    pub fn number(&self) -> BuildNumber {
        self.number
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// As for any call.
    pub async fn heartbeat(&self) -> Result<Heartbeat, ClientError> {
        self.client.send_for_json(self.call(Method::POST, "heartbeat")).await
    }

    /// Adds events to the build.
    ///
    /// # Errors
    /// As for any call.
    pub async fn events(&self, events: &EventsRequest) -> Result<(), ClientError> {
        self.client.send_for_nothing(self.call(Method::POST, "events").json(events)).await
    }

    /// Hands over the module, before [`LeaseClient::complete`].
    ///
    /// # Errors
    /// As for any call.
    pub async fn upload_module(&self, module: Bytes) -> Result<(), ClientError> {
        let call = self.call(Method::PUT, "module").body("application/octet-stream", module);
        self.client.send_for_nothing(call.timeout(UPLOAD_TIMEOUT)).await
    }

    /// Ends the lease with a livepatch.
    ///
    /// # Errors
    /// As for any call.
    pub async fn complete(&self, complete: &CompleteRequest) -> Result<(), ClientError> {
        self.client.send_for_nothing(self.call(Method::POST, "complete").json(complete)).await
    }

    /// Ends the lease of a probe with what it found.
    ///
    /// # Errors
    /// As for any call.
    pub async fn complete_probe(&self, found: &CompleteProbeRequest) -> Result<(), ClientError> {
        self.client.send_for_nothing(self.call(Method::POST, "complete-probe").json(found)).await
    }

    /// Ends the lease with a failure.
    ///
    /// # Errors
    /// As for any call.
    pub async fn fail(&self, fail: &FailRequest) -> Result<(), ClientError> {
        self.client.send_for_nothing(self.call(Method::POST, "fail").json(fail)).await
    }

    /// Gives the build back, as a worker does that stops: it waits for another one, and loses no attempt.
    ///
    /// # Errors
    /// As for any call.
    pub async fn release(&self) -> Result<(), ClientError> {
        self.client.send_for_nothing(self.call(Method::POST, "release")).await
    }

    /// Gets the config or a patch of the build by its digest, at most `limit_bytes`.
    ///
    /// # Errors
    /// As for any call; [`ClientError::Digest`] when other bytes come.
    pub async fn blob(&self, digest: Sha256Digest, limit_bytes: u64) -> Result<Bytes, ClientError> {
        let call = self.call(Method::GET, &format!("blobs/{digest}")).timeout(ANSWER_TIMEOUT);
        let answer = self.client.send(call).await?;
        let bytes = self.client.collect(answer.into_body(), "a blob", limit_bytes).await?;
        if Sha256Digest::of(&bytes) != digest {
            return Err(ClientError::Digest { url: self.client.peer().to_owned(), digest });
        }
        Ok(bytes)
    }

    fn call(&self, method: Method, what: &str) -> Call {
        Call::new(method, format!("/worker/v2/builds/{}/{what}", self.number))
            .header(HeaderName::from_static(LEASE_HEADER), self.token.0.clone())
            .timeout(LEASE_CALL_TIMEOUT)
    }
}
