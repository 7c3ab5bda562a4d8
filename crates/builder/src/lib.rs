//! Everything between a request and a livepatch: sources, toolchain roots, the sandbox, bases,
//! engines and trials.
//!
//! The builder is synchronous: nearly all of its time is spent waiting for compilers. It knows
//! nothing of servers and leases; whoever runs it passes an [`Observer`] to hear of its progress.

mod observer;
mod order;

pub use observer::{Observer, SilentObserver};
pub use order::{BuildOrder, FinishedBuild, FixText};
