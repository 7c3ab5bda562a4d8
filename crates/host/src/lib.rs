//! A machine that is patched: what its kernel tells of livepatches, loading and replacing them, going back,
//! and what is kept on the disk so that all of it survives a reboot and a crash.
//!
//! Nothing here needs a server. Everything is read below a root directory, `/` but for tests; modules come and
//! go through [`Modules`].

mod apply;
mod blockers;
mod boot;
mod health;
mod host;
mod kernel;
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

pub use apply::{Applied, ApplyOptions, Applying, Progress};
pub use blockers::Blocker;
pub use boot::{Booted, Guarded};
pub use elivepatch_elf::LivepatchMaker;
pub use health::{Health, Sign};
pub use host::{GUARD, Host};
pub use kernel::{Kernel, Vitals};
pub use kprobes::probed;
pub use livepatches::{Livepatch, PatchedFunction, is_module_name, livepatches};
pub use machine::{Machine, Modules, RunningModules};
pub use module_file::ModuleFile;
pub use notes::build_id;
pub use obstacles::Obstacle;
pub use problem::HostProblem;
pub use revert::Reverted;
pub use state::{
    Enrolment, Event, EventKind, Held, KernelState, Lockout, MANIFEST_BYTES, Marker, State,
    StateDirectory,
};
pub use status::{Status, Trouble};
