//! A machine that is patched: what its kernel tells of livepatches, loading and replacing them, going back,
//! and what is kept on the disk so that all of it survives a reboot and a crash.
//!
//! Nothing here needs a server. Everything is read below a root directory, `/` but for tests; modules come and
//! go through [`Modules`].

mod apply;
mod blockers;
mod boot;
#[cfg(any(test, feature = "fake-kernel"))]
pub mod fake;
mod health;
mod host;
mod kernel;
mod kernel_keys;
mod kprobes;
mod live;
mod livepatches;
mod machine;
mod module_file;
mod notes;
mod obstacles;
mod problem;
mod revert;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod transition;
mod trust;

pub use apply::{Applied, ApplyOptions, Applying, By, Progress};
pub use blockers::Blocker;
pub use boot::{Booted, Guarded, next_look};
pub use elivepatch_elf::LivepatchMaker;
pub use health::{Health, Sign};
pub use host::{GUARD, Host};
pub use kernel::{Kernel, Vitals, boot_id, is_switched_off, uptime};
pub use kprobes::probed;
pub use livepatches::{Livepatch, PatchedFunction, is_module_name, livepatches};
pub use machine::{Machine, Modules, RunningModules};
pub use module_file::ModuleFile;
pub use notes::build_id;
pub use obstacles::Obstacle;
pub use problem::HostProblem;
pub use revert::Reverted;
pub use state::{
    AgentLock, AgentRecord, Enrolment, Event, EventKind, FailedOrder, Held, KernelState, Lockout,
    MANIFEST_BYTES, ManifestFiles, Marker, PendingOrder, State, StateDirectory,
};
pub use status::{Status, Trouble};
pub use trust::ManifestTrust;
