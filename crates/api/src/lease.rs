//! The lease protocol between server and workers.
//!
//! A worker claims one build and gets a token with a deadline. It renews the lease by heartbeats,
//! and every write carries the token: a worker that lost its lease can change nothing.

use elivepatch_model::{
    Architecture, BehaviourCheck, BuildEvent, BuildKey, BuildNumber, BuildOptions, BuilderStamp,
    Failure, Fix, Manifest, PatchRecord, ProbeRecord, RebuildOf, Sha256Digest, TargetFacts,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The header in which the token of a lease goes with every call for a leased build.
pub const LEASE_HEADER: &str = "elivepatch-lease";

/// A secret that proves the right to write to a leased build: 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct LeaseToken(pub String);

impl std::fmt::Debug for LeaseToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LeaseToken(…)")
    }
}

/// A worker asks for work and says what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// The worker's name, unique among the workers.
    pub worker: String,
    /// What its builder is: the server leases builds only to one that makes the same of them as its own.
    pub builder: BuilderStamp,
    /// The architectures that it builds for.
    pub architectures: Vec<Architecture>,
    /// The releases of which it has a base ready: such builds are preferred.
    pub warm_releases: Vec<String>,
    /// How long the server may hold the request open when there is no work, in seconds (0 to 60).
    pub wait_seconds: u32,
}

/// One build for one worker, for a time. The claim answers 204 when there is no work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// Goes with every write.
    pub token: LeaseToken,
    /// When the lease ends unless it is renewed, by the server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub deadline: Timestamp,
    /// Renew after so many seconds.
    pub heartbeat_seconds: u32,
    /// The build.
    pub build: LeasedBuild,
}

/// What a worker needs to know of a build. The texts of config and patches are fetched by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeasedBuild {
    /// Its number.
    pub number: BuildNumber,
    /// Its key.
    pub key: BuildKey,
    /// The kernel to be patched.
    pub target: TargetFacts,
    /// The digest of the config's text.
    pub config: Sha256Digest,
    /// The digest of the running kernel's symbols in their normal form, when they are needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kallsyms: Option<Sha256Digest>,
    /// The patches that are compiled into the running kernel, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<PatchRecord>,
    /// The fixes in their order; each digest is that of the patch's text.
    pub fixes: Vec<Fix>,
    /// What the trial must see.
    pub checks: Vec<BehaviourCheck>,
    /// How the livepatch is to be made.
    #[serde(default)]
    pub options: BuildOptions,
    /// The livepatch that it makes again, when it is a rebuild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<RebuildOf>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Heartbeat {
    /// The new deadline.
    #[schema(value_type = String, format = DateTime)]
    pub deadline: Timestamp,
    /// Whether the build was cancelled: the worker stops and sends nothing more.
    pub cancelled: bool,
}

/// Events that a worker adds to its build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsRequest {
    /// The events in their order. A worker sends no `state` events: those are the server's.
    pub events: Vec<BuildEvent>,
}

/// A worker has a livepatch. The module was uploaded before and is named by `manifest.module.digest`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteRequest {
    /// The manifest.
    pub manifest: Manifest,
}

/// A worker has done a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteProbeRequest {
    /// What it found.
    pub probe: ProbeRecord,
}

/// A worker's build failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailRequest {
    /// Why. An infrastructure failure goes back to the queue while attempts are left.
    pub failure: Failure,
}
