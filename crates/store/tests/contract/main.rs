//! The contract of the store: what every implementation of it must keep.

mod access;
mod blobs;
mod crash;
mod events;
mod fixes;
mod hosts;
mod join;
mod lease;
mod outcome;
mod rebuild;
mod runs;
mod sessions;
mod support;
