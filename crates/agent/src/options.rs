use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::Window;

/// The most that is read of the file, in bytes.
const FILE_BYTES: u64 = 64 * 1024;

/// How long a machine waits at most before it loads something new, when nothing else is said: a bad livepatch
/// does not reach all machines at the same instant, and the server is asked for it one by one.
const DEFAULT_JITTER: u64 = 300;

/// How long a transition may take; as `elivepatch apply` has it.
const DEFAULT_TRANSITION: u64 = 60;

/// How the agent works; from `/etc/elivepatch/agent.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOptions {
    /// When something may be loaded; none: always.
    pub windows: Vec<Window>,
    /// The longest time for which it is waited in the window. Each machine waits for a part of it that is its
    /// own for each livepatch.
    pub jitter: Duration,
    /// How long a transition may take before it is reversed.
    pub transition_limit: Duration,
}

/// Why there are no options.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds something that cannot be used.
    #[error("{} cannot be used: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place.
        what: String,
    },
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OptionsFile {
    window: Windows,
    jitter_seconds: Option<u64>,
    transition_limit_seconds: Option<u64>,
}

/// One window, or several.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "write days and times, such as \"Mon-Fri 22:00-05:00\", or a list of such texts"
)]
enum Windows {
    One(String),
    Several(Vec<String>),
}

impl Default for Windows {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            windows: Vec::new(),
            jitter: Duration::from_secs(DEFAULT_JITTER),
            transition_limit: Duration::from_secs(DEFAULT_TRANSITION),
        }
    }
}

impl AgentOptions {
    /// Reads the file. When it need not be there and is not, it is as if it were empty.
    ///
    /// # Errors
    /// When it cannot be read, or holds what cannot be used.
    pub fn read(path: &Path, must_be_there: bool) -> Result<Self, OptionsError> {
        use std::io::Read as _;
        let mut text = String::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text));
        match read {
            Ok(_) => Self::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_be_there => {
                Ok(Self::default())
            }
            Err(source) => Err(OptionsError::Unread { path: path.to_owned(), source }),
        }
    }

    /// Reads the options from their text; `path` names it in errors.
    ///
    /// # Errors
    /// When it holds what cannot be used.
    pub fn parse(text: &str, path: &Path) -> Result<Self, OptionsError> {
        let wrong = |what: String| OptionsError::Wrong { path: path.to_owned(), what };
        let file: OptionsFile = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map(|before| before.matches('\n').count() + 1);
            let line = line.map_or_else(String::new, |line| format!("line {line}: "));
            wrong(format!("{line}{}", error.message().replace('\n', ", ")))
        })?;
        let windows = match file.window {
            Windows::One(text) => vec![text],
            Windows::Several(texts) => texts,
        };
        let windows: Result<Vec<Window>, _> = windows.iter().map(|text| text.parse()).collect();
        let seconds = |value: Option<u64>, default: u64, name: &str, most: u64| {
            let value = value.unwrap_or(default);
            match value <= most {
                true => Ok(Duration::from_secs(value)),
                false => Err(wrong(format!("{name} is at most {most}"))),
            }
        };
        let transition = file.transition_limit_seconds;
        if transition == Some(0) {
            return Err(wrong("transition_limit_seconds is at least 1".to_owned()));
        }
        let windows = windows.map_err(|error| wrong(error.to_string()))?;
        let jitter = seconds(file.jitter_seconds, DEFAULT_JITTER, "jitter_seconds", 24 * 3600)?;
        // Each machine's turn must come while the shortest window is open.
        let shortest = windows.iter().map(Window::length).min();
        let jitter = shortest.map_or(jitter, |shortest| jitter.min(shortest / 2));
        Ok(Self {
            windows,
            jitter,
            transition_limit: seconds(
                transition,
                DEFAULT_TRANSITION,
                "transition_limit_seconds",
                3600,
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AgentOptions, String> {
        AgentOptions::parse(text, Path::new("agent.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read_and_what_cannot_be_used_is_told_with_its_place() {
        assert_eq!(parse("").expect("empty"), AgentOptions::default());
        let options = parse("window = \"02:00-04:00\"\njitter_seconds = 21600\n").expect("options");
        assert_eq!(options.jitter, Duration::from_secs(3600), "half of the window");
        let options = parse("window = \"02:00-04:00\"\njitter_seconds = 0\n").expect("options");
        assert_eq!((options.windows.len(), options.jitter), (1, Duration::ZERO));
        let several = "window = [\"Sat 00:00-24:00\", \"Sun 00:00-24:00\"]";
        assert_eq!(parse(several).expect("options").windows.len(), 2);
        for (text, what) in [
            ("window = \"never\"", "\"never\" is no maintenance window"),
            ("window = 3", "write days and times"),
            ("\nwindows = \"02:00-04:00\"", "line 2: unknown field"),
            ("jitter_seconds = -1", "line 1: "),
            ("jitter_seconds = 100000", "jitter_seconds is at most 86400"),
            ("transition_limit_seconds = 0", "at least 1"),
            ("jitter_seconds", "line 1: "),
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                error.starts_with("agent.toml cannot be used: ") && error.contains(what),
                "{error}"
            );
        }
    }

    #[test]
    fn file_that_is_named_must_be_there() {
        let path = Path::new("/nonexistent/agent.toml");
        assert_eq!(AgentOptions::read(path, false).expect("none"), AgentOptions::default());
        AgentOptions::read(path, true).expect_err("it was named");
    }
}
