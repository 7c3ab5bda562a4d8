//! Looking after the cache: what is in it and how large, what stays and what goes.
//!
//! Everything here goes by the locks of [`crate::Cache`]: what somebody uses or makes is never
//! removed, by whichever server or command. What is removed is renamed first, so that an
//! interruption leaves either the whole entry or something that is no entry any more.

mod bases;
mod entries;
mod error;
mod notes;
mod sweep;
#[cfg(test)]
mod tests;

pub use bases::{ListedBase, list_bases, pin_base, remove_base};
pub use error::HousekeepingError;
pub(crate) use notes::mark_used;
pub use sweep::{KeptEntry, RemovedEntry, Sweep, SweepReason, Swept};
