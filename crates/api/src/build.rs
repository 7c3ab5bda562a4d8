use elivepatch_model::{
    BehaviourCheck, BuildEvent, BuildKey, BuildNumber, BuildOptions, BuildState, Failure,
    FailureClass, Fix, KernelRelease, Manifest, PatchRecord, ProbeRecord, RebuildOf, Sha256Digest,
    Step, TargetFacts,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The JSON part `request` of a build submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildRequest {
    /// The kernel to be patched.
    pub target: TargetFacts,
    /// What the trial must see; may be empty.
    #[serde(default)]
    pub checks: Vec<BehaviourCheck>,
    /// How the livepatch is to be made.
    #[serde(default, skip_serializing_if = "BuildOptions::is_default")]
    pub options: BuildOptions,
}

/// The multipart form of a build submission, as OpenAPI documents it. The parts come in this order.
#[derive(Debug, ToSchema)]
pub struct SubmitParts {
    /// [`BuildRequest`] as JSON.
    pub request: BuildRequest,
    /// The target's kernel config, uncompressed.
    #[schema(value_type = String, format = Binary)]
    pub config: Vec<u8>,
    /// What `/proc/kallsyms` of the target says, compressed with gzip; may be left out. The server
    /// forgets the addresses in it.
    #[schema(value_type = Option<String>, format = Binary)]
    pub kallsyms: Option<Vec<u8>>,
    /// A unified diff that is compiled into the running kernel; may be left out. Repeated: they are
    /// applied to the source in the order of the parts, before any fix. They may touch anything.
    #[schema(value_type = Vec<String>, format = Binary)]
    pub baseline: Vec<Vec<u8>>,
    /// A unified diff against the target's source. Repeated: the patches are applied in the order
    /// of the parts. The part's file name names the fix; it is never used as a path.
    #[schema(value_type = Vec<String>, format = Binary)]
    pub patch: Vec<Vec<u8>>,
}

/// The answer to a submission: 201 for a new build, 200 for an equal one that was joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildSubmission {
    /// The build.
    pub build: BuildResource,
    /// Whether an equal build was there already, waiting, running or finished.
    pub joined: bool,
}

/// A build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildResource {
    /// Its number on this server.
    pub number: BuildNumber,
    /// Its key: equal requests have equal keys.
    pub key: BuildKey,
    /// Where it stands.
    pub state: BuildState,
    /// The kernel to be patched.
    pub target: TargetFacts,
    /// The digest of the config file as it was sent.
    pub config: Sha256Digest,
    /// The digest of the running kernel's symbols, when the server keeps them: for a kernel that it
    /// builds itself, and where no build-id is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kallsyms: Option<Sha256Digest>,
    /// The patches that are compiled into the running kernel, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<PatchRecord>,
    /// The fixes in their order.
    pub fixes: Vec<Fix>,
    /// What the trial must see.
    pub checks: Vec<BehaviourCheck>,
    /// How the livepatch is to be made.
    #[serde(default)]
    pub options: BuildOptions,
    /// The livepatch that it makes again, when it is a rebuild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<RebuildOf>,
    /// The steps so far.
    pub steps: Vec<Step>,
    /// How often a worker has begun it.
    pub attempts: u32,
    /// When it was submitted.
    #[schema(value_type = String, format = DateTime)]
    pub submitted_at: Timestamp,
    /// When a worker first began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Why it failed, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What is in the livepatch, when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// What was found, when it was a probe and succeeded: there is no livepatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeRecord>,
}

/// Which builds to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListBuildsQuery {
    /// Only builds in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BuildState>,
    /// Only builds with a lower number: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<BuildNumber>,
    /// At most so many, 1 to 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What a list says of a build; the build itself says the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildSummary {
    /// Its number on this server.
    pub number: BuildNumber,
    /// Its key: equal requests have equal keys.
    pub key: BuildKey,
    /// Where it stands.
    pub state: BuildState,
    /// The release of the kernel to be patched.
    #[schema(value_type = String)]
    pub release: KernelRelease,
    /// The names of the fixes in their order.
    pub fixes: Vec<String>,
    /// How often a worker has begun it.
    pub attempts: u32,
    /// When it was submitted.
    #[schema(value_type = String, format = DateTime)]
    pub submitted_at: Timestamp,
    /// When a worker first began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Why it failed, in short, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureSummary>,
}

/// What a list says of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureSummary {
    /// The stable class, for programs.
    pub class: FailureClass,
    /// What went wrong, naming the object; one line.
    pub message: String,
}

/// A page of builds, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildList {
    /// The builds.
    pub builds: Vec<BuildSummary>,
    /// Give it as `before` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<BuildNumber>,
}

/// One event with its number, which is also the `id` of the server-sent event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventRecord {
    /// Counts from 1 without gaps within a build.
    pub sequence: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: BuildEvent,
}
