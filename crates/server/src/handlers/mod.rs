//! The endpoints, one file per group.

pub(crate) mod artifacts;
pub(crate) mod assessments;
pub(crate) mod assignments;
pub(crate) mod audit;
pub(crate) mod builds;
pub(crate) mod enrolments;
pub(crate) mod events;
pub(crate) mod exposure;
pub(crate) mod holds;
pub(crate) mod hosts;
pub(crate) mod lease;
pub(crate) mod rebuilds;
pub(crate) mod runs;
pub(crate) mod service;
pub(crate) mod v1;
pub(crate) mod withdrawals;
