use std::{convert::Infallible, str::FromStr};

use crate::output::Level;

/// How much is said: the levels that the first elivepatch knew, which are those of Python's `logging` and a `notice`
/// between warnings and information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// All that there is.
    Tools,
    /// What is said without it.
    Usual,
    /// Warnings and errors.
    Warnings,
    /// Errors.
    Errors,
}

impl LogLevel {
    /// Whether what the tools of a build print is shown.
    pub fn shows_tools(self) -> bool {
        self == Self::Tools
    }

    /// What is said at least of what is to be said.
    pub fn least(self) -> Level {
        match self {
            Self::Tools | Self::Usual => Level::Notice,
            Self::Warnings => Level::Warning,
            Self::Errors => Level::Error,
        }
    }
}

impl FromStr for LogLevel {
    type Err = Infallible;

    /// Never fails: the first elivepatch took any word, and scripts have `--debug 1`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "notice" => Self::Usual,
            "warning" | "warn" => Self::Warnings,
            "error" | "critical" | "fatal" => Self::Errors,
            _ => Self::Tools,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_word_is_a_level() {
        for (word, level) in [
            ("debug", LogLevel::Tools),
            ("INFO", LogLevel::Tools),
            ("1", LogLevel::Tools),
            ("Notice", LogLevel::Usual),
            ("warning", LogLevel::Warnings),
            ("CRITICAL", LogLevel::Errors),
        ] {
            assert_eq!(word.parse(), Ok(level), "{word}");
        }
    }
}
