use std::fmt;

use camino::Utf8PathBuf;

/// Why a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file does not exist.
    #[error("there is no config file {path}")]
    Missing {
        /// The file.
        path: Utf8PathBuf,
    },
    /// The file exists but cannot be read.
    #[error("cannot read the config file {path}")]
    Unreadable {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, has a key that is not known, or a value of the wrong type.
    #[error("{path}, line {line}: {message} (in: {text})")]
    Syntax {
        /// The file.
        path: Utf8PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// The line itself.
        text: String,
    },
    /// The file can be read, but some values cannot be used.
    #[error("{path} cannot be used: {}", list(.problems))]
    Invalid {
        /// The file.
        path: Utf8PathBuf,
        /// Every problem.
        problems: Vec<ConfigProblem>,
    },
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key, with its section, such as `builder.jobs`.
    pub key: String,
    /// Its line in the file; `None` when the value comes from a default or the command line.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        write!(formatter, "{}: {}", self.key, self.message)
    }
}

fn list(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
