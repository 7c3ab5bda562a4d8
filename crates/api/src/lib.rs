//! The REST API: request and response types, one file per resource.
//!
//! The server answers with these types and the client reads them, so that the two cannot drift
//! apart. The OpenAPI document is made from them.

mod assessment;
mod assignment;
mod audit;
mod build;
pub mod client;
mod error;
mod exposure;
mod fleet;
mod host;
mod lease;
mod livepatch;
pub mod paths;
mod rebuild;
mod run;
mod service;
pub mod v1;

pub use assessment::{AssessedCve, AssessmentRequest, AssessmentResource, FaultyCve};
pub use assignment::{
    Assignment, AssignmentAnswer, AssignmentList, AssignmentRequest, NewestFirstQuery, Withdrawal,
    WithdrawalAnswer, WithdrawalList, WithdrawalRequest,
};
pub use audit::{AuditEntry, AuditLog, AuditQuery};
pub use build::{
    BuildList, BuildRequest, BuildResource, BuildSubmission, BuildSummary, EventRecord,
    FailureSummary, ListBuildsQuery, SubmitParts,
};
pub use elivepatch_model::RunState;
pub use error::{ApiError, ErrorBody, ErrorCode};
pub use exposure::{
    ExposedCve, ExposedHost, ExposedKernel, ExposureQuery, ExposureResource, HostStanding,
};
pub use fleet::{
    Hold, HoldList, HoldRequest, HostChange, HostEvent, HostList, HostResource, HostSummary,
    HostTags, ListHostsQuery,
};
pub use host::{
    Assigned, EnrolmentAnswer, EnrolmentRequest, HostFault, HostHealth, HostLivepatch, HostOrder,
    HostReport, HostState, HostStateError, Order,
};
pub use lease::{
    ClaimRequest, CompleteProbeRequest, CompleteRequest, EventsRequest, FailRequest, Heartbeat,
    LEASE_HEADER, Lease, LeaseToken, LeasedBuild,
};
pub use livepatch::LivepatchResource;
pub use rebuild::{RebuildParts, RebuildRequest};
pub use run::{
    CHOSEN_FIXES, CveSelection, RunCheck, RunCve, RunGrounds, RunParts, RunQuery, RunRequest,
    RunResource, RunSubmission, RunSummary,
};
pub use service::{HealthResource, HealthState, VersionResource, WorkerHealth};
