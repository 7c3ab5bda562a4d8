//! What a machine does by itself for its server: it tells how it stands, asks what it is to run, loads that in
//! its maintenance window, looks after the machine, and goes on without the server when that is away.
//!
//! How it speaks to the server and what is told of the machine comes through [`Surroundings`].

mod agent;
mod decide;
mod options;
mod report;
#[cfg(test)]
mod tests;
mod window;

pub use agent::{Agent, Surroundings, Unreached};
pub use decide::{Decision, Situation, Wait, decide};
pub use options::{AgentOptions, OptionsError};
pub use report::report;
pub use window::{Window, WindowError, is_open};
