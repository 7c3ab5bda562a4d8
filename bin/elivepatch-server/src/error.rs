use std::{error::Error, fmt};

/// Why a command failed, with its exit code and what to do about it.
#[derive(Debug)]
pub struct CommandError {
    /// Whose fault it is, as an exit code.
    pub exit: Exit,
    /// What happened; its sources follow it in the report.
    pub error: anyhow::Error,
    /// What to do.
    pub hint: String,
}

/// The exit codes of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something that the user gave cannot be used.
    Input = 1,
    /// Something could not be made, or is damaged.
    Failed = 3,
    /// The network: the address is in use, or not of this machine.
    Network = 4,
    /// A bug.
    Bug = 70,
}

impl CommandError {
    /// An error that the user can put right.
    pub fn input(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Input, error: error.into(), hint: hint.into() }
    }

    /// Something that could not be made, or is damaged.
    pub fn failed(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, error: error.into(), hint: hint.into() }
    }

    /// An error of the network.
    pub fn network(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Network, error: error.into(), hint: hint.into() }
    }

    /// An error that should not be possible.
    pub fn bug(error: impl Into<anyhow::Error>) -> Self {
        let hint = "please report this with the output above; RUST_LOG=debug shows more";
        Self { exit: Exit::Bug, error: error.into(), hint: hint.to_owned() }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
