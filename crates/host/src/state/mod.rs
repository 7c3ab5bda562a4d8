//! What is kept on the disk, so that it survives a reboot and a crash: which livepatch belongs to which kernel,
//! the livepatches themselves, what is being loaded just now, and what happened.
//!
//! Everything is written beside its place, brought to the disk and then renamed, so that a power cut leaves the
//! old state or the new one. The lock is held by whoever changes what is loaded.

mod agent;
mod directory;
mod enrolment;
mod find;
mod history;
mod record;
mod store;

pub use agent::{AgentLock, AgentRecord, FailedOrder, PendingOrder};
pub(crate) use directory::Lock;
pub use directory::{MANIFEST_BYTES, StateDirectory};
pub use enrolment::Enrolment;
pub use history::{Event, EventKind};
pub use record::{KernelState, Lockout, Marker, State};
pub use store::{Held, ManifestFiles};
