//! Records, queue, events and blobs of a server.
//!
//! Records and the queue live in one SQLite file, blobs (configs, patches, modules) in a directory
//! beside it, named by their SHA-256. Every public call is one transaction: what it returned is on
//! disk, and a process killed in the middle leaves the state of before or of after.
//!
//! Whoever calls passes the time, so that the rules about deadlines can be tested without waiting.

mod access;
mod audit;
mod blobs;
mod builds;
mod cancel;
mod claim;
mod error;
mod events;
mod feed;
mod finish;
mod fixes;
mod hosts;
mod join;
mod lease;
mod lost;
mod policy;
mod row;
mod runs;
mod sessions;
mod store;
mod submit;
mod summary;
mod time;
mod upload;
mod workers;

pub use access::{Enrolled, NewToken, TokenKind, TokenRecord, TokenState};
pub use audit::{AuditAction, AuditFilter, AuditRecord, NewAudit};
pub use blobs::BlobReader;
pub use builds::{BuildFilter, QueueLength};
pub use claim::{Claim, ClaimedBuild};
pub use error::StoreError;
pub use events::StoredEvent;
pub use feed::{CveFacts, FeedChange, FeedCounts, FeedExtent, FeedState, WholeFeed};
pub use fixes::{ApprovedFix, KnownFix};
pub use hosts::{
    AssignmentRecord, HOST_EVENTS, HoldRecord, HostEventRecord, HostFilter, HostKernel, HostRecord,
    NewAssignment, NewHost, OrderGrounds, ReportedHost, WithdrawalRecord,
};
pub use lease::{LeaseProof, Renewal};
pub use lost::WorkerEnd;
pub use policy::{LEASE_DURATION, RETRY_DELAY};
pub use row::BuildRecord;
pub use runs::{NewRun, RunCveRecord, RunRecord, RunStep};
pub use sessions::SessionLoad;
pub use store::Store;
pub use submit::{NewBuild, Submission};
pub use summary::BuildSummaryRecord;
pub use upload::{BlobWriter, KeptBlob, UploadedBlob};
pub use workers::WorkerRecord;
