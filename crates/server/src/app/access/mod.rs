//! Who asks: tokens, roles, the registration of hosts, and what is written down of it all.

mod audit;
mod caller;
mod enrol;
mod refusals;

pub use caller::Caller;

pub(super) use audit::note;
pub(super) use refusals::Refusals;
